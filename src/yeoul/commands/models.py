"""``yeoul models``: what models there are, getting the local one's weights, and asking one a question."""

from typing import Annotated

import typer

from yeoul.commands.terminal import AsJson, in_words, load

app = typer.Typer(no_args_is_help=True, help="List models, download a local one, try one.")

Name = Annotated[str | None, typer.Argument(help="A name of `yeoul models list`. Default: the setting's local model.")]
Model = Annotated[str, typer.Argument(help="A model id, provider/model.")]
Question = Annotated[str, typer.Option(help="What to ask.")]


@app.command("list")
def list_models(*, as_json: AsJson = False) -> None:
    """Every model, what it costs, and what to do before it can be used."""
    with in_words():
        from yeoul.commands import models_at_work as work

        work.listing(load(), as_json=as_json)


@app.command()
def pull(name: Name = None) -> None:
    """Download the weights of a local model; goes on where an earlier try stopped."""
    with in_words():
        from yeoul.commands import models_at_work as work

        work.pull(load(), name)


@app.command("test")
def try_model(model: Model = "default", question: Question = "Name three rivers.") -> None:
    """Ask a model a short question, and say how quick it was and what it cost."""
    with in_words():
        from yeoul.commands import models_at_work as work

        work.try_model(load(), model, question)
