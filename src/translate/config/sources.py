"""Trained networks as sources of a configuration: where they are, which networks they are, and their SHA-256.

A source is a run folder (its newest checkpoint), a checkpoint, a weights file, the name of weights that ship, or an
address on the Hugging Face Hub. Only the header of the file is read, so torch is not imported. `downloaded` and
`resolved` fix the sources of a configuration once, before its run begins: a saved configuration names a file, its
digest and the roles, so that a resumed run neither looks for them nor downloads them again.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.config.renamed import rename_network, rename_saved
from translate.config.tree import plain
from translate.config.types import MISSING, UNKNOWN
from translate.downloads import hub
from translate.errors import Phrase, Problem, Problems, UserError
from translate.files.reading import loads
from translate.files.writing import check_digest, sha256_of
from translate.registry.registry import NETWORKS
from translate.runs import headers
from translate.runs.folder import RunFolder
from translate.runs.places import RELEASED_SUFFIXES, shipped_file

if TYPE_CHECKING:
    from omegaconf import DictConfig

EXPECTED = "a run folder, a checkpoint, a weights file, a name that ships or hf://owner/name"
TRAINED, AVERAGED = ("network",), ("ema", "average")
"""First words of the names of tensors: of trained networks, and of their moving averages today and in format 1."""


@dataclass(frozen=True)
class Source:
    """A file with trained networks, as its header describes it."""

    path: Path
    networks: dict[str, dict[str, Any]]  # role -> {name: key of NETWORKS, ...its arguments}, of roles with tensors
    sha256: str | None  # None: it does not exist yet


Promise = Callable[[Path, Mapping[str, Any]], None]
_PROMISED: dict[Path, dict[str, dict[str, Any]]] = {}


@contextmanager
def promises() -> Iterator[Promise]:
    """Yield a function by which run folders count as sources, with these networks, before they exist.

    For checking a configuration whose source is the run of an earlier stage. It has no SHA-256 yet.
    """
    try:
        yield lambda folder, networks: _PROMISED.update({folder: _trained(networks)})
    finally:
        _PROMISED.clear()


def is_there(place: str) -> bool:
    """Return whether a source exists or is promised."""
    path = Path(place).expanduser()
    return path.exists() or path in _PROMISED or shipped_file(place) is not None


def _trained(networks: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {role: dict(node) for role, node in networks.items() if _is_trained(node)}


def locate(place: str) -> Path:
    """Return the file of a source: the newest checkpoint of a run folder, or the file itself; UserError without one."""
    if (shipped := shipped_file(place)) is not None:
        return shipped
    path = Path(place).expanduser()
    if _is_promised(path):
        return path
    if path.is_dir():
        return RunFolder(path).require_run("weights").choose(key="weights")[1]
    if not path.is_file():
        raise UserError("there is no such file or folder", key="weights", found=place, expected=EXPECTED)
    return path


def _is_promised(path: Path) -> bool:
    return path in _PROMISED and RunFolder(path).newest_iteration() is None


def read(place: str) -> Source:
    """Return the source at a place; UserError for a place without networks of this program."""
    path = locate(place)
    if _is_promised(path):
        return Source(path, _PROMISED[path], None)
    if path.suffix in RELEASED_SUFFIXES:
        fix = f"python -m translate import weights={path} to=FILE.safetensors"
        raise UserError("a file of another program", key="weights", found=str(path), expected=EXPECTED, fix=fix)
    header = headers.read(path)
    try:
        networks = _networks(header.metadata) if header.is_ours else {}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError("the header is damaged", key="weights", found=str(path), expected=EXPECTED) from error
    words = [name.split(".") for name in header.names]
    roles = {parts[1] for parts in words if len(parts) > 1 and parts[0] in (*TRAINED, *AVERAGED)}
    trained = {role: dict(node) for role, node in networks.items() if role in roles and isinstance(node, Mapping)}
    if not trained:
        raise UserError("the file names no trained networks", key="weights", found=str(path), expected=EXPECTED)
    return Source(path, trained, sha256_of(path))


def _networks(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the networks of a checkpoint or weights file by role."""
    if "networks" in metadata:  # a weights file
        return {role: rename_network(node) for role, node in loads(metadata["networks"]).items()}
    networks: dict[str, Any] = rename_saved(loads(metadata["config"]))["model"]["networks"]
    return networks


# --- of a configuration -------------------------------------------------------------------------------------


def on_hub(tree: "DictConfig") -> dict[str, str]:
    """Return the keys of a composed tree that name an address on the Hub as a source, and the addresses."""
    start = plain(tree, [], only="start_from").get("start_from")
    places: dict[str, Any] = {
        "start_from": start,
        "start_from.weights": start.get("weights") if isinstance(start, dict) else None,
    }
    model = plain(tree, [], only="model").get("model")
    networks = model.get("networks") if isinstance(model, dict) else None
    for role, node in (networks if isinstance(networks, dict) else {}).items():
        if is_of_role(node):
            places[f"model.networks.{role}.weights"] = node.get("weights")
    return {key: place for key, place in places.items() if hub.is_address(place)}


def downloaded(tree: "DictConfig", problems: Problems) -> "DictConfig":
    """Return a tree with the local files of its addresses on the Hub in their places; report those without one."""
    from omegaconf import OmegaConf

    tree = tree.copy()
    for key, address in on_hub(tree).items():
        try:
            OmegaConf.update(tree, key, str(hub.fetch(address)), force_add=True)
        except UserError as error:
            problems.extend(error.inside(key).problems)
    return tree


def resolved(tree: dict[str, Any], problems: Problems) -> dict[str, Any]:
    """Return a plain configuration whose sources name a file, its SHA-256, and networks or roles.

    Problems are appended to ``problems``; what they concern becomes UNKNOWN. So does an address that `downloaded` has
    not yet replaced.
    """
    tree = dict(tree)
    model = tree.get("model")
    nodes = model.get("networks") if isinstance(model, dict) else None
    if isinstance(model, dict) and isinstance(nodes, dict):
        tree["model"] = {**model, "networks": {role: _frozen(role, node, problems) for role, node in nodes.items()}}
    start = tree.get("start_from")
    if start is not None and start is not UNKNOWN:
        tree["start_from"] = _start({"weights": start} if isinstance(start, str) else start, nodes or {}, problems)
    return tree


def is_of_role(node: Any) -> bool:
    """Return whether a node is of a network that takes its weights from a role of another run."""
    name = node.get("name") if isinstance(node, Mapping) else None
    return isinstance(name, str) and name in NETWORKS.index() and bool(NETWORKS.facts(name).get("of_role"))


def _frozen(role: str, node: Any, problems: Problems) -> Any:
    """Return the node of a network with its file, digest and inner network, if it takes these from another run."""
    if not is_of_role(node) or not _is_given(node.get("weights")) or not isinstance(node.get("role"), str):
        return node
    if hub.is_address(node["weights"]):
        return {**node, "weights": UNKNOWN}
    try:
        path = locate(node["weights"])
        if (
            node.get("network") is not None and not _is_promised(path) and not headers.read(path).is_ours
        ):  # tensors that an import has written
            return {**node, "weights": str(path)}
        source = read(str(path))
        check_digest(source.path, source.sha256, node.get("sha256"))
        network = _network_of(source, node["role"])
    except UserError as error:
        problems.extend(error.inside(f"model.networks.{role}").problems)
        return {**node, "weights": UNKNOWN}
    return {**node, "weights": str(path), "sha256": source.sha256, "network": network}


def _is_given(weights: Any) -> bool:
    return isinstance(weights, str) and weights != MISSING


def _network_of(source: Source, role: str) -> dict[str, Any]:
    if role not in source.networks:
        raise UserError(
            f"{source.path} has no trained network of this role", key="role", found=role, known=list(source.networks)
        )
    return source.networks[role]


def _start(node: Any, networks: Mapping[str, Any], problems: Problems) -> Any:
    """Return the complete node of ``start_from``: the file, its digest, and role -> role of the source."""
    if not isinstance(node, Mapping) or not _is_given(node.get("weights")):
        return node  # the checks report it
    if hub.is_address(node["weights"]):
        return UNKNOWN
    try:
        source = read(node["weights"])
        check_digest(source.path, source.sha256, node.get("sha256"))
        roles = _roles(node.get("roles"), networks, source)
    except UserError as error:
        problems.extend(error.inside("start_from").problems)
        return UNKNOWN
    own = list(_role_problems(roles, networks, source))
    problems.extend(own)
    return UNKNOWN if own else {**node, "weights": str(source.path), "roles": roles, "sha256": source.sha256}


def _roles(roles: Any, networks: Mapping[str, Any], source: Source) -> dict[str, str]:
    """Return role -> role of the source, from a list of roles, a mapping, or null: all roles that both have."""
    if roles is None:
        common = {role: role for role in networks if role in source.networks and _is_trained(networks[role])}
        if not common:
            raise UserError(
                f"{source.path} and this model have no role in common",
                key="roles",
                found=Phrase(", ".join(source.networks) or "no networks"),
                expected=f"one of {', '.join(networks)}",
                fix="map roles, as in start_from={weights: PATH, roles: {OWN_ROLE: ROLE_OF_THE_SOURCE}}",
            )
        return common
    if isinstance(roles, Mapping):
        return {str(own): str(other) for own, other in roles.items()}
    names = [roles] if isinstance(roles, str) else roles
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(key="roles", found=roles, expected="a list of roles, a mapping of roles, or null")
    return {name: name for name in names}


def _role_problems(roles: Mapping[str, str], networks: Mapping[str, Any], source: Source) -> Iterator[Problem]:
    for own, other in roles.items():
        if own not in networks:
            yield Problem("unknown role", key="start_from.roles", found=own, known=tuple(networks))
        elif not _is_trained(networks[own]):
            fix = "leave the role out"
            yield Problem("a frozen network has its own file", key="start_from.roles", found=own, fix=fix)
        elif other not in source.networks:
            statement = f"{source.path} has no trained network of this role"
            yield Problem(statement, key="start_from.roles", found=other, known=tuple(source.networks))


def _is_trained(node: Any) -> bool:
    name = node.get("name") if isinstance(node, Mapping) else None
    known = isinstance(name, str) and name in NETWORKS.index()
    return not known or "pretrained" not in NETWORKS.facts(str(name))
