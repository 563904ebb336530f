"""Turn a command line of the official code of StarGAN v2, StarGAN, CycleGAN or pix2pix into ours, option by option."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from translate.doctor import official_options as tables
from translate.doctor.official_options import Option, Project
from translate.errors import Phrase, UserError

PROGRAM = ("python", "-m", "translate")

Given = Mapping[str, tuple[str, ...]]
"""The options of a command line -> their values; () for a flag."""


@dataclass(frozen=True)
class Row:
    """One option of the official command line, our words for it ("" without), and the reason or remark."""

    option: str
    ours: str
    remark: str = ""


@dataclass
class Migration:
    """The rows of a command line, and the commands that take its place."""

    project: Project
    rows: list[Row] = field(default_factory=list)
    commands: list[tuple[str, ...]] = field(default_factory=list)  # words behind the program

    def lines(self) -> list[str]:
        """Return the commands as lines for a shell."""
        return [shlex.join([*PROGRAM, *words]) for words in self.commands]


def migrate(words: Sequence[str]) -> Migration:
    """Return the migration of a command line; UserError if it is not one of a known project."""
    if len(words) == 1:
        words = shlex.split(words[0])
    prefix, script, rest = _script(words)
    tokens = list(_tokens(rest))
    project = _project(script, [name for name, _ in tokens])
    given, loose = _options(project, tokens)
    migration = Migration(project)
    purpose = project.purpose(script, given)
    for word in loose:
        migration.rows.append(Row(word, "", "not an option of this project"))
    BUILDERS[project.name](migration, purpose, given, _processes(prefix))
    return migration


def _script(words: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Return the words before the script, the name of the script without its folder, and the words behind it."""
    for place, word in enumerate(words):
        if word.endswith(".py"):
            return list(words[:place]), word.rpartition("/")[2], list(words[place + 1 :])
    raise UserError(
        "no script is called",
        key="migrate",
        found=Phrase(" ".join(words) or "no words"),
        expected="a command line such as: python main.py --mode train ...",
    )


def _tokens(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each option and its values; ``--name=value`` is the same as ``--name value``."""
    current: tuple[str, list[str]] | None = None
    for word in words:
        if word.startswith("--"):
            if current is not None:
                yield current
            name, equals, value = word.partition("=")
            current = name, [value] if equals else []
        elif current is None:
            yield word, []
        else:
            current[1].append(word)
    if current is not None:
        yield current


def _project(script: str, names: Sequence[str]) -> Project:
    """Return the project that has the script and knows most of the options, those of its own counting most."""
    candidates = [project for project in tables.PROJECTS if script in project.scripts]
    if not candidates:
        scripts = sorted({name for project in tables.PROJECTS for name in project.scripts})
        raise UserError("unknown script", key="migrate", found=script, known=scripts)

    def score(project: Project) -> int:
        others = [other for other in candidates if other is not project]
        own = [name for name in names if name in project.options]
        return len(own) + sum(all(name not in other.options for other in others) for name in own)

    return max(candidates, key=score)


def _options(project: Project, tokens: Sequence[tuple[str, list[str]]]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the known options with their values, and all other words."""
    given: dict[str, tuple[str, ...]] = {}
    loose: list[str] = []
    for name, values in tokens:
        option = project.options.get(name)
        if option is None:
            loose.append(" ".join([name, *values]))
            continue
        count = 0 if option.flag else len(values) if option.many else 1
        if len(values) < min(count, 1):
            raise UserError("the value is missing", key=name)
        given[name] = tuple(values[:count])
        loose += values[count:]
    return given, loose


def _processes(prefix: Sequence[str]) -> int:
    """Return the number of processes that torchrun starts; 1 without it."""
    text = " ".join(prefix)
    match = re.search(r"--nproc[-_]per[-_]node[= ](\d+)", text)
    return int(match[1]) if match else 1


# --- building ------------------------------------------------------------------------------------------------


class Builder:
    """Collects the rows and words of one of our commands; each option is answered once."""

    def __init__(self, migration: Migration, given: Given) -> None:
        self.migration, self.given = migration, given
        self.words: list[str] = []
        self.answered: set[str] = set()

    def value(self, name: str) -> str:
        """Return the value of an option, given or by default."""
        values = self.given.get(name)
        return values[0] if values else self.migration.project.options[name].default

    def number(self, name: str) -> float:
        """Return the value of an option as a number; UserError if it is none."""
        try:
            return float(self.value(name))
        except ValueError:
            raise UserError(key=name, found=self.value(name), expected="a number") from None

    def say(self, names: str | Sequence[str], words: Sequence[str], remark: str = "") -> None:
        """Add words for options: a row for each option that is given, or one for the words if none is."""
        wanted = [names] if isinstance(names, str) else list(names)
        present = [name for name in wanted if name in self.given and name not in self.answered]
        shown = " ".join(shlex.quote(word) for word in words)
        for name in present:
            self.migration.rows.append(Row(self.text(name), shown, remark))
        if not present and words and not self.answered & set(wanted):
            implied = " ".join(f"{name} {self.value(name)}".strip() for name in wanted[:1])
            self.migration.rows.append(Row(f"({implied}, by default)", shown, remark))
        self.answered.update(wanted)
        self.words += [word for word in words if word not in self.words]

    def text(self, name: str) -> str:
        """Return an option as it was written."""
        return " ".join([name, *self.given[name]])

    def rest(self, used: bool = True) -> None:
        """Answer all other options by the table; ``used`` is whether overrides have a meaning in this command."""
        for name, values in self.given.items():
            if name in self.answered:
                continue
            option = self.migration.project.options[name]
            words = [word.format(values[0] if values else "") for word in option.ours] if used else []
            if words and _same(values, option):
                self.say(name, [], "the default already")
            elif words:
                self.say(name, words, option.remark)
            elif option.ours:
                self.say(name, [], "in the weights already")
            else:
                self.say(name, [], option.remark or "has no counterpart")

    def finish(self, *command: str) -> None:
        """Add the command of the words."""
        self.migration.commands.append((*command, *self.words))


def _same(values: tuple[str, ...], option: Option) -> bool:
    """Return whether a value is the default of both programs."""
    if not option.equal or not values:
        return False
    try:
        return float(values[0]) == float(option.default)
    except ValueError:
        return values[0] == option.default


def _chosen(functions: Mapping[str, Callable[[Builder], None]], option: str, value: str) -> Callable[[Builder], None]:
    """Return the function for the value of an option; UserError for another value."""
    if value not in functions:
        raise UserError("unknown value", key=option, found=value, known=functions)
    return functions[value]


def _parent(path: str) -> tuple[str, str]:
    """Return the folder of a path, "." without one, and its last part.

    >>> _parent("./data/afhq/train/"), _parent("train")
    (('./data/afhq', 'train'), ('.', 'train'))
    """
    folder, _, name = path.rstrip("/").rpartition("/")
    return folder or ".", name


def _key(value: str) -> str:
    """Return a value of an override, quoted where Hydra's grammar needs it."""
    return value if re.fullmatch(r"[\w./~+-]+", value) else "'" + value.replace("'", "\\'") + "'"


# --- StarGAN v2 ----------------------------------------------------------------------------------------------


def _stargan_v2(migration: Migration, purpose: str, given: Given, processes: int) -> None:
    build = Builder(migration, given)
    build.say("--mode", [])
    _chosen(
        {"train": _train_stargan_v2, "sample": _sample_stargan_v2, "eval": _evaluate_stargan_v2, "align": _align},
        "--mode",
        purpose,
    )(build)


def _data_of_v2(build: Builder) -> str:
    """Say the data of StarGAN v2; return the name of the data set."""
    root, split = _parent(build.value("--train_img_dir"))
    val_root, held_out = _parent(build.value("--val_img_dir"))
    name = _parent(root)[1]
    kind = name if name in tables.KNOWN_DOMAINS else "folder"
    fits = (root, split) == (val_root, "train") and held_out in ("val", "test")
    remark = "" if fits else "the root must hold train/ and val/: link both folders into one"
    build.say(("--train_img_dir", "--val_img_dir"), [f"data={kind}", f"data.root={_key(root)}"], remark)
    build.say("--num_domains", [], "found from the folders")
    return kind


def _high_pass(build: Builder, kind: str) -> None:
    """Say the high-pass skip connections, which are on by default in the official code and off in ours."""
    w_hpf = build.number("--w_hpf")
    if w_hpf and kind == "celeba_hq":
        words = [] if w_hpf == 1 else [f"model.networks.generator.w_hpf={w_hpf:g}"]
        masks = "'++model.networks.masks={name: landmark_masks, weights: wing.ckpt}'"
        build.say(
            "--w_hpf", words, f"set by data=celeba_hq, with fixed ovals as masks; for those of wing.ckpt add {masks}"
        )
    elif w_hpf:
        mask = "++model.networks.masks={name: face_oval}"
        build.say("--w_hpf", [f"model.networks.generator.w_hpf={w_hpf:g}", mask], "masks are fixed ovals, for faces")
    else:
        build.say("--w_hpf", [], "the default already")


def _train_stargan_v2(build: Builder) -> None:
    build.words += ["model=stargan_v2"]
    kind = _data_of_v2(build)
    _high_pass(build, kind)
    key = "model.weights.generator.diversity"
    build.say("--lambda_ds", [f"{key}.start={build.number('--lambda_ds'):g}"] if "--lambda_ds" in build.given else [])
    if "--ds_iter" in build.given:
        build.say("--ds_iter", [f"{key}.iterations={build.value('--ds_iter')}"])
    betas = {"--beta1", "--beta2"} & set(build.given)
    if betas:
        pair = f"[{build.number('--beta1'):g},{build.number('--beta2'):g}]"
        build.say(sorted(betas), [f"model.optimizers.{role}.betas={pair}" for role in tables.ROLES_V2])
    if "--randcrop_prob" in build.given:
        probability = build.number("--randcrop_prob")
        words = ["data.augment=flip"] if probability == 0 else []
        remark = "the default already" if probability == 0.5 else "" if words else "the probability is 0.5 or 0"
        build.say("--randcrop_prob", words, remark)
    _resume(build, "--resume_iter", "--checkpoint_dir", "nets.ckpt and optims.ckpt")
    build.rest()
    build.finish()


def _resume(build: Builder, option: str, folder: str, files: str) -> None:
    """Say that official checkpoints are imported before training continues."""
    if option not in build.given or build.value(option) in ("0", "None"):
        build.say(option, [], "the default already")
        return
    build.say(option, [], _import_first(f"{files} of {build.value(folder)}"))


def _import_first(files: str) -> str:
    return f"first import {files}: python -m translate import weights=FILES to=RUN_FOLDER, then resume=RUN_FOLDER"


def _weights_of_v2(build: Builder) -> str:
    step = int(build.number("--resume_iter"))
    path = f"{build.value('--checkpoint_dir').rstrip('/')}/{step:06d}_nets_ema.ckpt"
    build.say(
        ("--resume_iter", "--checkpoint_dir"), [f"weights={path}"], "the file as it is; nothing is converted first"
    )
    return path


def _domains_of_v2(build: Builder) -> tuple[str, ...]:
    """Return the names of the domains, where the paths name a known data set."""
    text = " ".join(build.value(name) for name in ("--checkpoint_dir", "--src_dir", "--train_img_dir"))
    count = int(build.number("--num_domains"))
    for name, domains in tables.KNOWN_DOMAINS.items():
        if re.search(rf"(?<![a-z]){name}(?![a-z])", text) and len(domains) == count:
            return domains
    return ()


def _facts_of_v2(build: Builder, domains: Sequence[str]) -> None:
    names = f"[{','.join(domains)}]"
    remark = (
        "names of the domains, which the file does not hold"
        if domains
        else "the domains have numbers: domains=[...] names them"
    )
    build.say("--num_domains", [f"domains={names}"] if domains else [], remark)
    w_hpf = build.number("--w_hpf")
    build.say("--w_hpf", [f"w_hpf={w_hpf:g}"] if w_hpf else [], "not in the file" if w_hpf else "the default already")


def _sample_stargan_v2(build: Builder) -> None:
    _weights_of_v2(build)
    domains = _domains_of_v2(build)
    _facts_of_v2(build, domains)
    build.say("--src_dir", [f"input={build.value('--src_dir')}"])
    references, output = build.value("--ref_dir").rstrip("/"), build.value("--result_dir").rstrip("/")
    common = list(build.words)
    remark = "the folder of each domain; its mean style. Without reference=, styles are drawn by seed="
    shown = [f"reference={references}/{domains[0]}", f"target={domains[0]}"] if domains else [f"reference={references}"]
    build.say("--ref_dir", shown, remark)
    build.say(
        "--result_dir", [f"output={output}"], "interpolations: the command video; the table of all references: grid"
    )
    build.rest(used=False)
    for domain in domains:
        words = [f"reference={references}/{domain}", f"target={domain}", f"output={output}/{domain}"]
        build.migration.commands.append(("apply", *common, *words))
    if not domains:
        build.migration.commands.append(("apply", *common, f"reference={references}", f"output={output}"))


def _evaluate_stargan_v2(build: Builder) -> None:
    """Import the file as a run, since scores belong to a run, and evaluate it by the official protocol."""
    path = _weights_of_v2(build)
    domains = _domains_of_v2(build)
    _facts_of_v2(build, domains)
    run = f"{build.value('--eval_dir').rstrip('/')}/run"
    build.say("--eval_dir", [f"to={run}"], "scores are written into the metrics/ of this run")
    facts = [word for word in build.words if word.startswith(("domains=", "w_hpf="))]
    build.words = []
    _data_of_v2(build)
    data = list(build.words)
    build.say("--num_outs_per_domain", [], "10, which metrics=official computes")
    if "--val_batch_size" in build.given:
        build.say("--val_batch_size", [f"batch_size={build.value('--val_batch_size')}"])
    evaluation = [word for word in build.words if word.startswith("batch_size=")]
    build.rest(used=False)
    build.migration.commands += [
        ("import", f"weights={path}", f"to={run}", *facts, *data),
        ("evaluate", f"run={run}", "metrics=official", *evaluation),
    ]


def _align(build: Builder) -> None:
    build.say("--inp_dir", [f"input={build.value('--inp_dir')}"])
    build.say("--out_dir", [f"output={build.value('--out_dir')}"])
    build.say("--wing_path", [f"weights={build.value('--wing_path')}"], "the file as it was downloaded")
    build.say("--lm_path", [f"mean={build.value('--lm_path')}"])
    build.rest(used=False)
    build.finish("align")


# --- StarGAN -------------------------------------------------------------------------------------------------


def _stargan_v1(migration: Migration, purpose: str, given: Given, processes: int) -> None:
    build = Builder(migration, given)
    build.say("--mode", [])
    _chosen({"train": _train_stargan_v1, "test": _test_stargan_v1}, "--mode", purpose)(build)


def _train_stargan_v1(build: Builder) -> None:
    build.words += ["model=stargan_v1", "variant=official_code"]
    build.migration.rows.append(
        Row(
            "(learning rate)",
            "variant=official_code",
            "the official code hardly lowers the rates; the paper lowers them to 0",
        )
    )
    _chosen({"CelebA": _celeba, "RaFD": _rafd, "Both": _celeba_and_rafd}, "--dataset", build.value("--dataset"))(build)
    if {"--num_iters", "--num_iters_decay"} & set(build.given):
        total, decay = int(build.number("--num_iters")), int(build.number("--num_iters_decay"))
        build.say("--num_iters", [f"iterations={total}"])
        schedule = {"iterations": decay, "after": max(0, total - decay)}
        keys = [(role, key) for role in tables.ROLES_V1 for key in schedule]
        rates = [f"model.optimizers.{role}.lr.{key}={schedule[key]}" for role, key in keys]
        build.say("--num_iters_decay", rates)
    if {"--beta1", "--beta2"} & set(build.given):
        pair = f"[{build.number('--beta1'):g},{build.number('--beta2'):g}]"
        build.say(("--beta1", "--beta2"), [f"model.optimizers.{role}.betas={pair}" for role in tables.ROLES_V1])
    if "--model_save_dir" in build.given:
        build.say(
            "--model_save_dir",
            [f"folder={_key(_parent(build.value('--model_save_dir'))[0])}"],
            "checkpoints/ in this folder",
        )
    _resume(build, "--resume_iters", "--model_save_dir", "N-G.ckpt and N-D.ckpt")
    build.rest()
    build.finish()


def _celeba(build: Builder) -> None:
    table, images = build.value("--attr_path"), build.value("--celeba_image_dir").rstrip("/")
    root = _parent(table)[0]
    words = ["data=celeba", f"data.root={_key(root)}"]
    if images not in (f"{root}/images", f"{root}/img_align_celeba"):
        inside = images.startswith(f"{root}/")
        words.append(f"data.images={_key(images[len(root) + 1 :] if inside else images)}")
    build.say(("--dataset", "--celeba_image_dir", "--attr_path"), words)
    attributes = build.given.get("--selected_attrs", tables.ATTRIBUTES)
    build.say("--selected_attrs", [f"data.attributes=[{','.join(attributes)}]"])
    build.say("--c_dim", [], "the number of the attributes")
    crop = int(build.number("--celeba_crop_size"))
    build.say(
        "--celeba_crop_size", [] if crop == 178 else [f"data.crop={crop}"], "the default already" if crop == 178 else ""
    )


def _rafd(build: Builder) -> None:
    """Say the data of class folders, which the official code calls RaFD whatever they hold."""
    root, split = _parent(build.value("--rafd_image_dir"))
    remark = "" if split == "train" else "the root must hold train/, with the class folders"
    if "rafd" in root.lower():
        words = ["data=rafd", f"data.root={_key(root)}"]
    else:
        words = ["data=folder", f"data.root={_key(root)}", "data.labels=domain", "data.augment=flip"]
        words += [] if "--batch_size" in build.given else ["data.batch_size=16"]
        words += [] if "--image_size" in build.given else ["data.image_size=128"]
        words += [] if "--num_iters" in build.given else ["iterations=200000"]
    build.say(("--dataset", "--rafd_image_dir"), words, remark)
    build.say("--c_dim", [], "found from the folders")
    if "--rafd_crop_size" in build.given or words[0] == "data=folder":
        build.say("--rafd_crop_size", [f"data.crop={int(build.number('--rafd_crop_size'))}"])


def _celeba_and_rafd(build: Builder) -> None:
    root, rafd = _parent(build.value("--attr_path"))[0], _parent(build.value("--rafd_image_dir"))[0]
    words = ["data=celeba_rafd", f"data.parts.celeba.root={_key(root)}", f"data.parts.rafd.root={_key(rafd)}"]
    build.say(("--dataset", "--celeba_image_dir", "--attr_path", "--rafd_image_dir"), words)
    build.say(("--c_dim", "--c2_dim"), [], "found from the data")
    if "--selected_attrs" in build.given:
        build.say("--selected_attrs", [f"data.parts.celeba.attributes=[{','.join(build.given['--selected_attrs'])}]"])
    if "--rafd_crop_size" in build.given:
        build.say("--rafd_crop_size", [f"data.parts.rafd.crop={int(build.number('--rafd_crop_size'))}"])
    if "--celeba_crop_size" in build.given:
        build.say("--celeba_crop_size", [f"data.parts.celeba.crop={int(build.number('--celeba_crop_size'))}"])


def _test_stargan_v1(build: Builder) -> None:
    step, folder = int(build.number("--test_iters")), build.value("--model_save_dir").rstrip("/")
    build.say(("--model_save_dir", "--test_iters"), [f"weights={folder}/{step}-G.ckpt"], "the file as it is")
    kind = build.value("--dataset")
    if kind == "CelebA":
        attributes = build.given.get("--selected_attrs", tables.ATTRIBUTES)
        build.say(("--selected_attrs", "--c_dim"), [f"domains=[{','.join(attributes)}]", "labels=attributes"])
        build.say(("--dataset", "--celeba_image_dir"), [f"input={build.value('--celeba_image_dir')}"], "any images")
    else:
        count = int(build.number("--c_dim"))
        names = tables.EXPRESSIONS if count == len(tables.EXPRESSIONS) else tuple(map(str, range(count)))
        build.say("--c_dim", [f"domains=[{','.join(names)}]", "labels=domain"], "the names, in the order of training")
        build.say(("--dataset", "--rafd_image_dir"), [f"input={build.value('--rafd_image_dir')}"], "any images")
    build.say("--image_size", [f"image_size={int(build.number('--image_size'))}"])
    build.say("--result_dir", [f"output={build.value('--result_dir')}"])
    build.rest(used=False)
    build.finish("apply")


# --- CycleGAN and pix2pix ------------------------------------------------------------------------------------


def _cyclegan(migration: Migration, purpose: str, given: Given, processes: int) -> None:
    build = Builder(migration, given)
    model = build.value("--model")
    if model not in ("cycle_gan", "pix2pix", "test"):
        raise UserError(
            "this model has no counterpart", key="--model", found=model, expected="cycle_gan, pix2pix or test"
        )
    if purpose == "train":
        _train_pairs_or_cycle(build, model, processes)
    else:
        _test_pairs_or_cycle(build, model)


def _train_pairs_or_cycle(build: Builder, model: str, processes: int) -> None:
    pairs = model == "pix2pix"
    generators, discriminators = tables.NETWORKS_OF[model]
    leader = [generators[0]]  # the rates of the other optimizers follow it in the files
    build.say("--model", [f"model={'pix2pix' if pairs else 'cyclegan'}", f"data={'paired' if pairs else 'unpaired'}"])
    build.say("--dataset_mode", [], "follows from the model")
    build.say("--dataroot", [f"data.root={_key(build.value('--dataroot').rstrip('/'))}"])
    if build.value("--direction") == "BtoA":
        build.say("--direction", ["data.domains=[b,a]"])
    folder = f"{build.value('--checkpoints_dir').rstrip('/').removeprefix('./')}/{build.value('--name')}"
    if "--continue_train" in build.given:
        build.say(
            ("--continue_train", "--name", "--checkpoints_dir", "--epoch", "--epoch_count"),
            [],
            _import_first(f"the files of {folder}"),
        )
    else:
        named = {"--name", "--checkpoints_dir"} & set(build.given)
        build.say(("--name", "--checkpoints_dir"), [f"folder={_key(folder)}"] if named else [])
    _epochs(build, leader)
    _networks(build, pairs, generators, discriminators)
    _images(build)
    if "--lr" in build.given:
        build.say("--lr", [f"model.optimizers.{role}.lr.start={build.value('--lr')}" for role in leader])
    if "--beta1" in build.given:
        roles = [*generators, *discriminators]
        build.say("--beta1", [f"model.optimizers.{role}.betas=[{build.number('--beta1'):g},0.999]" for role in roles])
    _devices(build, processes)
    for name in tables.OF_OTHER_MODEL[model]:
        build.say(name, [], f"{model} does not read it")
    build.rest()
    build.finish()


def _epochs(build: Builder, roles: Sequence[str]) -> None:
    """Say the length; the official rate falls to lr / (decay + 1) in the last epoch, one epoch early."""
    old, new = ("--niter", "--niter_decay"), ("--n_epochs", "--n_epochs_decay")
    names = old if {*old} & set(build.given) else new
    if not {*names} & set(build.given):
        return
    constant, decay = (int(build.number(name)) for name in names)
    words = [f"iterations=${{epochs:{constant + decay}}}"]
    for role in roles:
        words.append(f"model.optimizers.{role}.lr.iterations=${{epochs:{decay + 1}}}")
        words.append(f"model.optimizers.{role}.lr.after=${{epochs:{max(0, constant - 1)}}}")
    build.say(names, words)


def _networks(build: Builder, pairs: bool, generators: Sequence[str], discriminators: Sequence[str]) -> None:
    """Say the networks; those of the second generator and discriminator follow the first in the files."""
    generator, discriminator = (f"model.networks.{roles[0]}" for roles in (generators, discriminators))
    form = build.value("--netG")
    if "--netG" in build.given:
        layers, remark = tables.GENERATORS[pairs].get(form, ((), "needs another network, in a file of your own"))
        build.say("--netG", [word.format(generator) for word in layers], remark)
    if "--netD" in build.given:
        known = build.value("--netD") in ("basic", "n_layers")
        build.say(
            "--netD", [], "a patch discriminator, as here" if known else "the pixel discriminator has no counterpart"
        )
    if "--n_layers_D" in build.given:
        build.say("--n_layers_D", [f"{discriminator}.num_layers={build.value('--n_layers_D')}"])
    if "--ngf" in build.given:
        build.say("--ngf", [f"{generator}.base_width={build.value('--ngf')}"])
    if "--ndf" in build.given:
        build.say("--ndf", [f"{discriminator}.base_width={build.value('--ndf')}"])
    if "--norm" in build.given:
        norm = build.value("--norm")
        if norm in ("instance", "batch"):
            roles = [generators[0], *discriminators]
            build.say("--norm", [f"model.networks.{role}.norm={norm}" for role in roles])
        else:
            build.say("--norm", [], "only instance and batch are there")
    if "--no_dropout" in build.given:
        words = [f"{generator}.dropout=false"] if pairs else []
        build.say("--no_dropout", words, "" if pairs else "the default already")
    if "--gan_mode" in build.given:
        mode = build.value("--gan_mode")
        words = [f"model.losses.adversarial.name={tables.LOSSES[mode]}"] if mode in tables.LOSSES else []
        if mode == "wgangp" and not pairs:
            words.append("model.weights.discriminator.gradient_penalty=10")
        build.say("--gan_mode", words, "" if words else "has no counterpart")


def _images(build: Builder) -> None:
    """Say the sizes: images are resized to 286 / 256 of the crop, as the official defaults do, or to data.load_size."""
    crop, load = int(build.number("--crop_size")), int(build.number("--load_size"))
    if "--crop_size" in build.given:
        build.say("--crop_size", [f"data.image_size={crop}"])
    if "--load_size" in build.given:
        words = [f"data.load_size={load}"] if load > crop else ["data.augment=flip"]
        if "--no_flip" in build.given:
            build.say("--load_size", [], "data.augment=none does not crop")
        elif load == round(crop * 286 / 256):
            build.say("--load_size", [], "the default already")
        else:
            build.say("--load_size", words, "" if load > crop else "images are not cropped")
    flips, resizes = "--no_flip" not in build.given, build.value("--preprocess") == "resize_and_crop"
    if "--preprocess" in build.given:
        remark = (
            "the default already" if resizes else "images are resized to a square; data.crop=square cuts the middle out"
        )
        build.say("--preprocess", [], remark)
    if not flips:
        build.say("--no_flip", ["data.augment=none"], "without the random crop, too")


def _devices(build: Builder, processes: int) -> None:
    ids = [part for part in build.value("--gpu_ids").split(",") if part]
    if "--gpu_ids" in build.given and ids == ["-1"]:
        build.say("--gpu_ids", ["trainer=cpu"])
    elif len(ids) > 1:
        build.say(
            "--gpu_ids", ["trainer=ddp", f"trainer.devices=[{','.join(ids)}]"], "the batch is that of all GPUs together"
        )
    elif "--gpu_ids" in build.given:
        build.say("--gpu_ids", [], "a GPU is used if there is one; CUDA_VISIBLE_DEVICES chooses it")
    if processes > 1:
        words = ["trainer=ddp", f"trainer.devices={processes}"]
        build.migration.rows.append(
            Row("torchrun", " ".join(words), "data.batch_size must be a multiple; it is that of all GPUs")
        )
        build.words += [word for word in words if word not in build.words]
        if "--batch_size" not in build.given:
            build.words.append(f"data.batch_size={processes}")


def _test_pairs_or_cycle(build: Builder, model: str) -> None:
    folder = f"{build.value('--checkpoints_dir').rstrip('/')}/{build.value('--name')}".removeprefix("./")
    root, epoch = build.value("--dataroot").rstrip("/"), build.value("--epoch")
    phase = build.value("--phase") if "--phase" in build.given else "test"  # the default of test.py
    output = f"{build.value('--results_dir').rstrip('/').removeprefix('./')}/{build.value('--name')}"
    pairs = model == "pix2pix" or (model == "test" and "unet" in build.value("--netG"))
    sides = [("_A", "A"), ("_B", "B")] if model == "cycle_gan" else [("", "")]
    kind = f"model={'pix2pix' if pairs else 'cyclegan'}"
    for suffix, side in sides:
        inputs = root if model == "test" else f"{root}/{phase}{side}"
        words = [
            f"weights={folder}/{epoch}_net_G{suffix}.pth",
            kind,
            f"input={inputs}",
            f"output={output}{side and '/' + side}",
        ]
        build.migration.commands.append(("apply", *words))
    first = build.migration.commands[0][1:]
    build.say(("--name", "--checkpoints_dir", "--epoch"), [first[0]], "the file as it is")
    build.say("--model", [kind], "and a command for each direction" if len(sides) > 1 else "")
    remark = (
        "apply takes the source images alone: cut files of two images side by side in half"
        if model == "pix2pix"
        else ""
    )
    build.say(("--dataroot", "--phase"), [first[2]], remark)
    build.say("--results_dir", [first[3]])
    build.say("--direction", [], "in the weights already")
    build.say("--num_test", [], "all images are translated")
    build.say("--eval", [], "norms use the statistics of each image, as the official code without this flag")
    build.rest(used=False)


BUILDERS: dict[str, Callable[[Migration, str, Given, int], None]] = {
    "clovaai/stargan-v2": _stargan_v2,
    "yunjey/stargan": _stargan_v1,
    "junyanz/pytorch-CycleGAN-and-pix2pix": _cyclegan,
}
