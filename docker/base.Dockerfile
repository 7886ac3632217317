# What the images of all roles share: where packages are built, and what runs them.
FROM python:3.11.14-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 VIRTUAL_ENV=/opt/venv
WORKDIR /build
COPY requirements.lock ./
# The version that the lock file names, so that it reads the lock file as `make setup` does.
RUN python -m pip install --no-cache-dir "$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)" \
 && uv venv /opt/venv

FROM python:3.11.14-slim-bookworm AS runtime
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 RUNMETER_DATA_DIR=/var/lib/runmeter \
    PYTHONPATH=/opt/runmeter
RUN groupadd --gid 10001 runmeter \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin runmeter \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/runmeter /var/lib/knowledge
WORKDIR /opt/runmeter
COPY docker/healthy.py /opt/healthy.py
USER 10001:10001
