"""What can go wrong in the playground, beside what jobs and models say themselves."""

from yeoul.core.base.errors import Conflict, InvalidInput, NotFound, YeoulError


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
    """A model does nothing with a parameter, or not with such a value."""

    code = "parameter_not_taken"


class TooManyIterations(InvalidInput):
    """One execution would be more jobs than one may be."""

    code = "too_many_iterations"

    def __init__(self, models: int, iterations: int, cases: int, most: int) -> None:
        total = models * iterations * cases
        super().__init__(
            f"{models:,} models times {iterations:,} iterations times {cases:,} cases are {total:,} answers; {most:,} "
            "is the most of one execution. Ask for fewer, or divide the cases over several executions."
        )


class IterationNotFound(NotFound):
    """An execution has no such iteration."""

    code = "iteration_not_found"


class LabelNotFound(NotFound):
    """A version does not bear a label."""

    code = "label_not_found"


class ShareNotFound(NotFound):
    """Nothing is shared under this address, or no longer."""

    code = "share_not_found"


class ImageNotFound(NotFound):
    """A prompt has no such image."""

    code = "image_not_found"


class CostCapReached(Conflict):
    """An execution has cost what it may; what has not begun does not begin."""

    code = "cost_cap"


class AnswerTimeout(YeoulError):
    """An answer took longer than its execution allows; it is not asked for again."""

    status, code, title = 504, "timeout", "The answer took too long"
