"""The step that has a container's image on the host, by its pull policy. It never waits for a pull."""

from __future__ import annotations

import logging

from agent.pods.env import SECRET
from agent.pods.observed import Failure, Pull, PullState, spec_hash
from agent.pods.plan import EnsureImage
from agent.pods.pulls import PullOutcome
from agent.pods.registries import BadSecret, credentials, matching
from agent.pods.restarts import PULL_BACKOFF
from agent.pods.status import go_duration
from agent.pods.steps.base import StepFailed, Work
from agent.runtime.base import RegistryAuth, RuntimeFailure
from shared.api.errors import StatusError
from shared.api.pod import Container, Pod

logger = logging.getLogger(__name__)

MISSING = 'Container image "{image}" is not present with pull policy of Never'


async def ensure_image(work: Work, step: EnsureImage, pod: Pod, container: Container) -> bool:
    """Whether the image is there; False once it is being pulled, which wakes the worker at its end."""
    tools, state = work.tools, work.state
    if step.policy != "Always":
        try:
            found = await tools.runtime.image_present(step.image)
        except RuntimeFailure as error:
            raise StepFailed("ImageInspectError", f'Failed to inspect image "{step.image}": {error}') from error
        if found is not None:
            state.pulls[container.name] = Pull(step.attempt, step.image, PullState.READY, found.id)
            message = f'Container image "{step.image}" already present on machine'
            tools.events.normal(pod, "Pulled", message, container.name)
            return True
        if step.policy == "Never":
            text = MISSING.format(image=step.image)
            raise StepFailed("ErrImageNeverPull", text, event="ErrImageNeverPull")
    state.pulls[container.name] = Pull(step.attempt, step.image, PullState.PENDING)
    tools.events.normal(pod, "Pulling", f'Pulling image "{step.image}"', container.name)

    def ended(outcome: PullOutcome) -> None:
        _ended(work, step, pod, container, outcome)

    tools.pulls.pull(step.image, await _credentials(work, step, pod), ended)
    return False


async def _credentials(work: Work, step: EnsureImage, pod: Pod) -> tuple[RegistryAuth, ...]:
    """Of the pod's pull secrets, those for the image. One that cannot be had is told, and the pull tried without."""
    known: list[tuple[str, RegistryAuth]] = []
    missing: list[str] = []
    meta = pod.metadata
    for name in dict.fromkeys(reference.name for reference in pod.spec.image_pull_secrets):
        try:
            found = (await work.tools.objects.get(meta.uid, meta.namespace, {(SECRET, name)})).secrets[name]
            if found is None:
                raise BadSecret("it does not exist")
            known += credentials(found)
        except (StatusError, BadSecret) as error:
            missing.append(name)
            extra = {"pod": f"{meta.namespace}/{meta.name}", "secret": name, "error": str(error)}
            logger.info("a pull secret cannot be used", extra=extra)
    if missing:
        text = (
            f"Unable to retrieve some image pull secrets ({', '.join(missing)}); attempting to pull the image may not "
            "succeed."
        )
        work.tools.events.warning(pod, "FailedToRetrieveImagePullSecret", text)
    return matching(step.image, known)


def _ended(work: Work, step: EnsureImage, pod: Pod, container: Container, outcome: PullOutcome) -> None:
    """Note how the pull ended, unless the pod has moved on to another image or attempt, and wake the worker."""
    tools, state = work.tools, work.state
    if state.pulls.get(container.name) != Pull(step.attempt, step.image, PullState.PENDING):
        return
    if outcome.image is not None:
        state.pulls[container.name] = Pull(step.attempt, step.image, PullState.READY, outcome.image.id)
        state.failures.pop(container.name, None)
        tools.events.normal(pod, "Pulled", _pulled(step.image, outcome, outcome.image.size_bytes), container.name)
    else:
        assert outcome.failure is not None
        del state.pulls[container.name]
        failure = outcome.failure
        digest, now = spec_hash(container), tools.clock.monotonic()
        before = state.failures.get(container.name)
        count = before.count + 1 if before is not None and before.subject == digest else 1
        reason = failure.reason if failure.reason in ("InvalidImageName", "ErrImagePull") else "ErrImagePull"
        until = now + PULL_BACKOFF.delay(count - 1)
        state.failures[container.name] = Failure(reason, failure.message, now, until, count, digest)
        text = f'Failed to pull image "{step.image}": {failure.message}'
        tools.events.warning(pod, "InspectFailed" if reason == "InvalidImageName" else "Failed", text, container.name)
        tools.events.warning(pod, "Failed", f"Error: {reason}", container.name)
    tools.wake(state.identity.uid)


def _pulled(image: str, outcome: PullOutcome, size: int) -> str:
    """In the kubelet's words (pkg/kubelet/images/image_manager.go)."""
    took, waited = go_duration(outcome.seconds), go_duration(outcome.waited)
    return f'Successfully pulled image "{image}" in {took} ({waited} including waiting). Image size: {size} bytes.'
