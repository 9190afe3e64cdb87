# One image for every role: `tollhouse serve ROLE`, `migrate`, `health`.
# Any Debian-like image with Python 3.11 or newer will do: docker build --build-arg BASE=python:3.12-slim .
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /build
WORKDIR /source
# Every wheel of the lock, its hash checked; tools to build and test with are among them. Before the code, so that a
# change of the code does not fetch them again.
COPY requirements.lock ./
RUN /build/bin/pip wheel --quiet --require-hashes --requirement requirements.lock --wheel-dir /wheels
COPY . .
RUN /build/bin/pip wheel --quiet --no-index --find-links /wheels --no-deps --wheel-dir /dist .
# Of those wheels only what the program itself depends on: no other version is in reach, and no tool goes along.
RUN python3 -m venv /opt/tollhouse \
    && /opt/tollhouse/bin/pip install --quiet --no-index --find-links /wheels /dist/*.whl \
    && /opt/tollhouse/bin/pip uninstall --quiet --yes pip setuptools

FROM ${BASE}
# A fixed number, so that a volume's owner is the same on every host. The folder must exist in the image: a new named
# volume takes its owner from there.
RUN groupadd --gid 10001 tollhouse \
    && useradd --uid 10001 --gid tollhouse --no-create-home --home-dir /var/lib/tollhouse tollhouse \
    && install -d -m 0700 -o tollhouse -g tollhouse /var/lib/tollhouse
COPY --from=build /opt/tollhouse /opt/tollhouse
ENV PATH=/opt/tollhouse/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TOLLHOUSE_DATA=/var/lib/tollhouse \
    TOLLHOUSE_GRPC_LISTEN=0.0.0.0:4100
USER tollhouse
WORKDIR /var/lib/tollhouse
EXPOSE 4000 4100
ENTRYPOINT ["tollhouse"]
CMD ["--help"]
