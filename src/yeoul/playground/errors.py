"""What can go wrong in the playground, beside what jobs and models say themselves."""

from yeoul.core.base.errors import InvalidInput, NotFound


class PromptNotFound(NotFound):
    """There is no such prompt or execution, or it is not theirs."""

    code = "prompt_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such prompt or execution, or it is not yours.")


class NeverExecuted(NotFound):
    """A prompt none of whose executions is left."""

    code = "never_executed"

    def __init__(self) -> None:
        super().__init__("This prompt has no execution. Execute it first.")


class BadTable(InvalidInput):
    """A file of cases cannot be read. Its words name the row."""

    code = "bad_table"


class BadCases(InvalidInput):
    """The cases of an execution do not fit its prompt. Its words name the case and the variable."""

    code = "bad_cases"


class NoSuchSnippet(InvalidInput):
    """This model cannot be asked by such a program."""

    code = "no_such_snippet"


class ParameterNotTaken(InvalidInput):
    """A model does nothing with a parameter."""

    code = "parameter_not_taken"
