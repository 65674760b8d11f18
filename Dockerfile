# thalbids with all that it needs to run without a network.
#
#   docker build -t thalbids --build-arg VERSION=0.2.0 .
#   docker run --rm --read-only --tmpfs /tmp --network none -v DATA:/data:ro -v OUT:/out thalbids /data /out participant
#
# Other programs are added by build arguments (docs/container.md): WITH_MINDGLIDE=1, WITH_DBSEGMENT=1,
# WITH_FSL=1 with FSL_LICENCE=accept, WITH_FREESURFER=1 (its licence file is mounted at run time).
# To build on one exact base: --build-arg BASE=docker.io/library/debian@sha256:...
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends bzip2 ca-certificates curl python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# What builds wheels stays in this stage. OpenVINO runs on the CPU only here: its parts for GPU and NPU are left out.
RUN python3 -m venv /builder \
    && /builder/bin/pip install --no-cache-dir --disable-pip-version-check \
        pip==26.3 hatchling==1.33.0 hatch-vcs==0.5.0 setuptools==80.9.0 wheel==0.45.1
COPY LICENSE README.md pyproject.toml ./
COPY docker/constraints.txt docker/
COPY thalbids thalbids
COPY boilerplate boilerplate
ARG VERSION=0.0.0
RUN SETUPTOOLS_SCM_PRETEND_VERSION=${VERSION} /builder/bin/pip wheel --no-cache-dir --no-build-isolation \
        --wheel-dir /wheels --constraint docker/constraints.txt ".[cluster,demo,harmonise]" \
    && python3 -m venv --without-pip /opt/thalbids \
    && /builder/bin/pip --python /opt/thalbids install --no-index --find-links /wheels "thalbids[cluster,demo,harmonise]" \
    && rm -r /wheels \
    && find /opt/thalbids -depth -type d -name tests -path '*/site-packages/*' -exec rm -rf {} + \
    && rm -f /opt/thalbids/lib/python3*/site-packages/openvino/libs/libopenvino_intel_[gn]pu_* \
        /opt/thalbids/lib/python3*/site-packages/openvino/libs/cache.json
COPY docker docker
ARG WITH_MINDGLIDE=
ARG WITH_DBSEGMENT=
ARG WITH_SAMSEG=
ARG WITH_FSL=
ARG FSL_LICENCE=
ARG WITH_FREESURFER=
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN mkdir -p /opt/tools /opt/cache && docker/add

FROM ${BASE}
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ARG WITH_FSL=
ARG WITH_FREESURFER=
# libgomp1: openvino, antspyx and torch; the others are what the scripts of FSL and of recon-all call
# hadolint ignore=DL3008
RUN set -- libgomp1 python3 \
    && if [ -n "${WITH_FSL}" ]; then set -- "$@" bc dc file; fi \
    && if [ -n "${WITH_FREESURFER}" ]; then set -- "$@" bc file gawk libxmu6 libxt6 perl procps tcsh time; fi \
    && apt-get update \
    && apt-get install -y --no-install-recommends "$@" \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home --home-dir /home/thalbids thalbids
COPY --from=build /opt /opt
# The home folder and caches lie in /tmp: the root file system may be read-only, the user any number.
# FSLDIR, FREESURFER_HOME and FS_LICENSE are empty where these programs are not inside.
ENV PATH=/opt/thalbids/bin:/opt/tools/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    THALBIDS_CACHE=/opt/cache \
    TEMPLATEFLOW_HOME=/opt/cache/templateflow \
    FSLDIR=${WITH_FSL:+/opt/fsl} \
    FREESURFER_HOME=${WITH_FREESURFER:+/opt/freesurfer} \
    FS_LICENSE=${WITH_FREESURFER:+/license.txt}
USER 1000
WORKDIR /tmp
ENTRYPOINT ["thalbids"]
CMD ["--help"]
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="thalbids" \
      org.opencontainers.image.description="Thalamus masks, volumes and statistics from BIDS datasets. Research use only." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.authors="the thalbids contributors" \
      org.opencontainers.image.licenses="GPL-3.0-or-later" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
