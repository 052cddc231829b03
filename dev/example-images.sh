#!/usr/bin/env bash
# The images of examples/, which the kind tests run: built by their own Dockerfile, or without an image registry from the Debian
# base that was built here and PyPI. Each is built again only when its files changed.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

IMAGE=bt-monitoring/python-consumer:$APP_VERSION
RECIPE=$(find examples/python-consumer dev/example-images.sh -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-12)

public() { docker_build -q --label "bt.recipe=$RECIPE" -t "$IMAGE" examples/python-consumer; }

# The libraries are fetched on this machine, for the Python of Debian 12.
local_base() {
  local dir python; dir=$(mktemp -d); python=$("$ROOT/dev/python.sh")
  "$python" -m pip install --quiet --target "$dir/libs" --python-version 3.11 --only-binary=:all: \
    --requirement examples/python-consumer/requirements.txt
  cp examples/python-consumer/consumer.py "$dir"
  cat > "$dir/Dockerfile" <<'D'
FROM bt-dev/base
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
COPY libs /app/libs
COPY consumer.py /app/
ENV PYTHONPATH=/app/libs PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 9100
ENTRYPOINT ["python3", "/app/consumer.py"]
D
  docker_build -q --label "bt.recipe=$RECIPE" -t "$IMAGE" "$dir"; rm -rf "$dir"
}

image_mode
image_is "$IMAGE" "$RECIPE" || step "image python-consumer" "$(if [ "$BT_IMAGES" = public ]; then echo public; else echo local_base; fi)"
