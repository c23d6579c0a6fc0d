"""Where a batch is joined: the machine's memory, or the GPU on which its tensors are already.

Copied beside every backend's model.py, as batch.py is. torch is handed in by who has it.
"""

import numpy as np
from batch_settings import ConfigError

STAY_ON_GPU = "FORCE_CPU_ONLY_INPUT_TENSORS"  # Triton's parameter; "no" leaves inputs where the client put them


class Host:
    """How tensors in the machine's own memory are read, made, joined and answered; `OnGpu` does it with a GPU's."""

    def read(self, tensor):
        return tensor.as_numpy()

    def join(self, arrays):
        return np.concatenate(arrays)

    def full(self, shape, value, like):
        return np.full(shape, value, like.dtype)

    def answer(self, pb_utils, name, array):
        return pb_utils.Tensor(name, array)


HOST = Host()


class OnGpu:
    """Tensors on the instance's GPU: what Host is for numpy, without a copy through the machine's memory.

    torch joins and cuts them, whatever framework runs the model: ONNX Runtime has no operations outside of one. They
    come and go by dlpack, which has no strings.
    """

    def __init__(self, torch, device):
        self.torch, self.device = torch, device

    @classmethod
    def of(cls, torch, settings):
        """The GPU of a GPU instance. Raises ConfigError where torch does not see it."""
        if settings.gpu >= torch.cuda.device_count():
            raise ConfigError(
                f"the instance is on GPU {settings.gpu}, torch {torch.__version__} sees none of that number"
            )
        return cls(torch, torch.device("cuda", settings.gpu))

    def choose(self, tensors):
        """Where one request's tensors are joined: here, unless all of them are in the machine's memory."""
        return HOST if all(tensor.is_cpu() for tensor in tensors) else self

    def read(self, tensor):
        return self.torch.from_dlpack(tensor.to_dlpack()).to(self.device)

    def join(self, tensors):
        return self.torch.cat(tensors)

    def full(self, shape, value, like):
        return self.torch.full(shape, value, dtype=like.dtype, device=self.device)

    def settle(self):
        """Wait for what torch began here. Another framework's streams would read it before it is there."""
        if self.device.type == "cuda":
            self.torch.cuda.current_stream(self.device).synchronize()

    def answer(self, pb_utils, name, tensor):
        return pb_utils.Tensor.from_dlpack(name, tensor.detach().contiguous())
