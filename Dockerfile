# medseg in an image for CPUs and NVIDIA GPUs; docs/install.md has the commands.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
# Empty: the PyTorch of the lock, which has CUDA. Else torch and torchvision, in the same versions, come from the index at
# this address, such as the one of PyTorch for CPUs, and the libraries of CUDA are left out.
ARG TORCH_INDEX=""
WORKDIR /src
RUN python -m venv /opt/medseg
COPY requirements-build.lock requirements-run.lock ./
RUN /opt/medseg/bin/pip install --no-cache-dir --require-hashes --requirement requirements-build.lock
RUN if [ -n "$TORCH_INDEX" ]; then \
      /opt/medseg/bin/pip install --no-cache-dir --no-deps --index-url "$TORCH_INDEX" \
        $(grep -oE '^(torch|torchvision)==[0-9.]+' requirements-run.lock) && \
      awk '/^[^ ]/ { skip = /^(cuda|nvidia|torch|torchvision|triton)[-=]/ } !skip' requirements-run.lock > chosen.lock; \
    else \
      cp requirements-run.lock chosen.lock; \
    fi
RUN /opt/medseg/bin/pip install --no-cache-dir --no-deps --require-hashes --no-build-isolation --requirement chosen.lock
COPY pyproject.toml README.md LICENSE CITATION.cff ./
COPY conf conf
COPY experiments experiments
COPY medseg medseg
RUN /opt/medseg/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:${PYTHON}-slim
COPY --from=build /opt/medseg /opt/medseg
# Writable for everybody, so that `--user` may name the user whose folders are mounted.
RUN useradd --uid 1000 --no-create-home --home-dir /home/medseg medseg && \
    install --directory --mode 1777 /home/medseg /data /runs
ENV PATH=/opt/medseg/bin:$PATH HOME=/home/medseg USER=medseg MEDSEG_DATA=/data MEDSEG_RUNS=/runs
USER medseg
WORKDIR /home/medseg
VOLUME ["/data", "/runs"]
ENTRYPOINT ["medseg"]
