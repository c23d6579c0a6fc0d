"""What the report says, against what is wanted. Pure.

The embedded TF Serving is not deployed even unmeasured, although the manifests would name the original: with it not the
size alone but the choice of the engine rests on a server that nobody runs.
"""

from __future__ import annotations

from serving.deploying.case import Case
from serving.deploying.refusals import Refusal, figures
from serving.deploying.versions import is_of_release, is_version
from serving.deploying.wanted import LABEL, product
from serving.layout import releases


def _embedded(case: Case) -> str | None:
    if case.recommended.engine_kind != "embedded":
        return None
    return (
        f"{case.recommended.variant} was measured on the embedded TF Serving, which shows that the protocol works and "
        "is never deployed; measure the original ('serving up --tfserving docker', or its binary on PATH)"
    )


def _foreign(case: Case) -> str | None:
    if case.recommended.engine in ("triton", "tfserving"):
        return None
    return f"{case.recommended.variant} is on a server of others ({case.recommended.engine}): k8s/ has no base for it"


def _flawed(case: Case) -> str | None:
    runs = case.image_release or case.wanted.target
    if case.recommended.engine != "triton" or releases.parse(runs) >= releases.FIRST_WITHOUT_KNOWN_FLAWS:
        return None
    return f"Triton {runs} has published unauthenticated remote flaws: measure and deploy 25.07 or newer (--target)"


def _image(case: Case) -> str | None:
    named, target = case.image_release, case.wanted.target
    if case.recommended.engine != "triton" or named in (None, target):
        return None
    return f"--image is '{case.wanted.image}', of Triton {named}, and release {target} is to run: name an image of that"


def _nowhere(case: Case) -> str | None:
    if case.device == "cpu" or case.gpu:
        return None
    return f"the report does not know its device ('{case.device}'): say where to run, --device cpu or gpu:PRODUCT"


def _label(case: Case) -> str | None:
    label = product(case.device.removeprefix("gpu:"))
    if not case.gpu or LABEL.fullmatch(label):
        return None
    return (
        f"no node can have the label nvidia.com/gpu.product={label}: give --device gpu: and the value that "
        "'kubectl get nodes -L nvidia.com/gpu.product' shows"
    )


def _stand_in(case: Case) -> str | None:
    if case.recommended.stand_in_for is None:
        return None
    item = case.recommended
    return f"{item.variant} was measured on a stand-in; the deployment would run {item.stand_in_for}"


def _device(case: Case) -> str | None:
    if product(case.recommended.device) == product(case.device):
        return None
    return f"it was measured on {case.recommended.device}, and is to run on {case.device}"


def _target(case: Case) -> str | None:
    made_for, wanted = case.recommendation.target, case.wanted.target
    if case.recommended.engine != "triton" or made_for == wanted:
        return None
    return f"the report judged for Triton {made_for}, and {wanted} is to run"


def _release(case: Case) -> str | None:
    version, target = case.recommended.engine_version, case.wanted.target
    if case.recommended.engine != "triton" or is_of_release(version, target):
        return None
    return f"it was measured on Triton {version}, and release {target} is to run"


def _version(case: Case) -> str | None:
    item = case.recommended
    if item.engine != "tfserving" or is_version(item.engine_version) or case.wanted.image:
        return None
    return f"a TF Serving of version '{item.engine_version}' was measured: name the image that it ran in with --image"


def _other_version(case: Case) -> str | None:
    item, named = case.recommended, case.image_version
    if item.engine != "tfserving" or not is_version(item.engine_version) or named in (None, item.engine_version):
        return None
    return f"it was measured on TF Serving {item.engine_version}, and '{case.wanted.image}' is to run"


def _threshold(case: Case) -> str | None:
    if case.wanted.queue_us is None or case.recommended.engine == "triton":
        return None
    return f"--queue-us is the autoscaler's threshold, and {case.recommended.engine} has no autoscaler: leave it out"


def _rate(case: Case) -> str | None:
    if case.recommended.max_rps:
        return None
    return f"the report has no rate at which {case.recommended.variant} kept its objectives; 'make slo' seeks one"


def _objectives(case: Case) -> str | None:
    kept = {key: value for key, value in case.recommended.objectives.items() if key != "rate"}
    promised = {key: value for key, value in case.slo.figures().items() if key != "rate"}
    if kept == promised:
        return None
    return f"it was measured for {figures(kept)}, and models.toml promises {figures(promised)}"


AGAINST_REPORT = (
    Refusal(_embedded, lifted=False),
    Refusal(_foreign, lifted=False),
    Refusal(_flawed, lifted=False),
    Refusal(_image, lifted=False),
    Refusal(_nowhere, lifted=False),
    Refusal(_label, lifted=False),
    Refusal(_threshold, lifted=False),
    Refusal(_stand_in, lifted=True),
    Refusal(_device, lifted=True),
    Refusal(_target, lifted=True),
    Refusal(_release, lifted=True),
    Refusal(_version, lifted=True),
    Refusal(_other_version, lifted=True),
    Refusal(_rate, lifted=True),
    Refusal(_objectives, lifted=True),
)
