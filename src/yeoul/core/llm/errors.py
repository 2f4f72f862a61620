"""What can go wrong between us and a model.

::

    ModelError                  502  model_error
    ├─ UnknownModel             404  unknown_model          no such id, or the provider knows no such model
    ├─ ModelNotReady            503  model_not_ready        a key, an extra or the weights are missing here
    │  └─ WeightsUnavailable    503  weights_unavailable    they could not be downloaded
    ├─ OwnKeyNeeded             422  own_key_needed         vendors take users' own keys alone here
    ├─ ModelAuthFailed          502  model_auth_failed      the provider refused the key
    ├─ ModelQuotaExceeded       502  model_quota_exceeded   our account there is empty: waiting does not help
    ├─ ModelRateLimited         429  model_rate_limited     retryable, carries retry_after when the provider said
    ├─ ModelOverloaded          503  model_overloaded       retryable
    ├─ ModelUnavailable         503  model_unavailable      retryable: 5xx, no connection, a stream that broke off
    ├─ ModelHeld                429  model_held             retryable, carries retry_after: our limit, or the provider's
    │  └─ ModelResting          503  model_resting          retryable, carries retry_after: its breaker is open
    ├─ ModelWaitedTooLong       503  model_waited_too_long  a job that was held for longer than jobs wait
    ├─ ModelTimeout             504  model_timeout          retryable
    └─ RequestRejected          422  model_request_rejected the provider will not take this request, ever
       ├─ ModelCannot           422  model_cannot           it has no such capability; the words name models that do
       ├─ ContextTooLong        422  context_too_long
       └─ ContentFiltered       422  content_filtered       carries ``reason``, the provider's own word for why

A provider refusing *our* key is no 401: that would tell our client to sign in again.
"""

from yeoul.core.base.errors import YeoulError


class ModelError(YeoulError):
    """Base of every error of a model call. ``extra["model"]`` is the id that was asked."""

    status, code, title = 502, "model_error", "The model failed"

    said: str | None = None
    """The provider's own words where it refused a key. They may repeat it: for nobody but whose key it is."""


class OwnKeyNeeded(ModelError):
    """Vendors are asked with users' own keys alone here, and this user has stored none."""

    status, code, title = 422, "own_key_needed", "A key of your own is needed"


class UnknownModel(ModelError):
    """There is no such model."""

    status, code, title = 404, "unknown_model", "Unknown model"


class ModelNotReady(ModelError):
    """The model exists, but this installation lacks something to use it."""

    status, code, title = 503, "model_not_ready", "The model is not set up"


class ModelAuthFailed(ModelError):
    """The provider refused the key: this installation's, or the user's own."""

    status, code, title = 502, "model_auth_failed", "The provider refused the key"


class ModelQuotaExceeded(ModelError):
    """This installation's account at the provider has nothing left."""

    status, code, title = 502, "model_quota_exceeded", "The provider account is exhausted"


class ModelRateLimited(ModelError):
    """The provider takes no more requests for now."""

    status, code, title, retryable = 429, "model_rate_limited", "The provider's rate limit is reached", True


class ModelOverloaded(ModelError):
    """The provider has too much to do."""

    status, code, title, retryable = 503, "model_overloaded", "The model is overloaded", True


class ModelUnavailable(ModelError):
    """The provider failed, cannot be reached, or its answer broke off."""

    status, code, title, retryable = 503, "model_unavailable", "The model is unavailable", True


class ModelHeld(ModelError):
    """The model takes no calls for now: our limit is used up, or the provider asked for a pause. Jobs wait it out."""

    status, code, title, retryable = 429, "model_held", "The model takes no calls for now", True


class ModelResting(ModelHeld):
    """The provider failed several times in a row and is left alone for a while. Jobs wait it out."""

    status, code, title = 503, "model_resting", "The model's provider is not answering"


class ModelWaitedTooLong(ModelError):
    """The model took no calls for longer than a job waits."""

    status, code, title = 503, "model_waited_too_long", "The model took no calls for too long"


class ModelTimeout(ModelError):
    """The model said nothing for too long, or took too long altogether."""

    status, code, title, retryable = 504, "model_timeout", "The model took too long", True


class RequestRejected(ModelError):
    """The provider will not take this request; sending it again changes nothing."""

    status, code, title = 422, "model_request_rejected", "The model rejected the request"


class ModelCannot(RequestRejected):
    """The model cannot do what the request asks: read images, keep to a JSON Schema, be so varied. Nothing was sent."""

    code, title = "model_cannot", "The model cannot do this"


class ContextTooLong(RequestRejected):
    """The conversation is longer than the model can read."""

    code, title = "context_too_long", "The conversation is too long for the model"


class ContentFiltered(RequestRejected):
    """The provider's safety filter stopped the question or the answer."""

    code, title = "content_filtered", "The provider's filter stopped this"


class WeightsUnavailable(ModelNotReady):
    """The weights of a local model could not be had: no such name, no space, or no source gave them."""

    code, title = "weights_unavailable", "The model's weights could not be had"
