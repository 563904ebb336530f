from translate.commands.functions import evaluate as evaluate
from translate.commands.functions import train as train
from translate.errors import UserError as UserError
from translate.inference.stylize import stylize as stylize
from translate.inference.translator import Translator as Translator
from translate.inference.translator import load as load

__version__: str
