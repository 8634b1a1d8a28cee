# One image for both sides: `docker run IMAGE ess demo`, and the workers of a cluster.
# Every package is the one of requirements.lock, checked by its hash; nothing is compiled.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY .ci/image_lock.py .ci/image_lock.py
RUN python .ci/image_lock.py redshift ec2 > image.lock
RUN python .ci/image_lock.py --build > build.lock
RUN python -m venv /opt/ess
RUN /opt/ess/bin/pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r image.lock
RUN python -m venv /opt/build
RUN /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r build.lock
COPY ess_dask ess_dask
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist .
RUN /opt/ess/bin/pip install --no-deps --no-index dist/ess_dask-*.whl

FROM python:${PYTHON}-slim
# For clusters on your own hosts: they are reached by ssh.
RUN apt-get update && apt-get install -y --no-install-recommends openssh-client procps && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 ess && mkdir /work && chown ess /work
COPY --from=build /opt/ess /opt/ess
ENV PATH=/opt/ess/bin:$PATH LANG=C.UTF-8
USER ess
WORKDIR /work
CMD ["ess", "--help"]
