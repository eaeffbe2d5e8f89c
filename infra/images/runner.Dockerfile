# What a task's container runs in docker mode. Works with a read-only root, no capability and no network of its own making:
# only HOME, /tmp and the workspace are written.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

# A base made by debootstrap has them already, so that no package server is needed here.
RUN { command -v git && command -v rg && test -s /etc/ssl/certs/ca-certificates.crt; } \
 || { apt-get update && apt-get install --yes --no-install-recommends ca-certificates git ripgrep && rm -rf /var/lib/apt/lists/*; }

RUN useradd --uid 1000 --user-group --create-home --shell /bin/bash agent

COPY opencode /usr/local/bin/opencode

ENV HOME=/home/agent LANG=C.UTF-8
USER 1000:1000
WORKDIR /home/agent
CMD ["opencode", "--version"]
