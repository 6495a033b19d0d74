# Asterisk and the service in one image. What it needs to know of your carrier: see compose.yaml.
#
#   docker build -t stasis-callback .
#   docker run --rm stasis-callback demo          one callback, shown live, on the Asterisk in the image
FROM debian:forky-slim

RUN apt-get update \
 && apt-get install -y --no-install-recommends asterisk python3-venv \
      asterisk-core-sounds-en asterisk-core-sounds-es asterisk-core-sounds-fr asterisk-core-sounds-it \
      asterisk-core-sounds-ru \
 && rm -rf /var/lib/apt/lists/* /etc/asterisk

COPY . /usr/src/stasis-callback
RUN python3 -m venv /opt/stasis-callback \
 && /opt/stasis-callback/bin/pip install --no-cache-dir --disable-pip-version-check \
      --constraint /usr/src/stasis-callback/constraints.txt '/usr/src/stasis-callback[simulated,postgres]' \
 && cp -r /usr/src/stasis-callback/asterisk-conf /etc/asterisk \
 && for language in /usr/src/stasis-callback/sounds/*/; do \
      mkdir -p "/usr/share/asterisk/sounds/$(basename "$language")"; \
      cp -r "$language" "/usr/share/asterisk/sounds/$(basename "$language")/stasis-callback"; \
    done \
 && cp /usr/src/stasis-callback/deploy/entrypoint /usr/local/bin/entrypoint \
 && cp /usr/src/stasis-callback/deploy/stasis-callback-in-container /usr/local/bin/stasis-callback \
 && rm -rf /usr/src/stasis-callback \
 && install -d -o asterisk -g asterisk -m 0750 /etc/asterisk/local /var/lib/stasis-callback \
 && install -d -o asterisk -g asterisk -m 0750 /run/asterisk /var/log/asterisk/cel-custom

# It starts as root, to read ./local whoever owns it; Asterisk, the service and all commands run as `asterisk`.
ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
WORKDIR /var/lib/stasis-callback
VOLUME /var/lib/stasis-callback /var/log/asterisk
EXPOSE 5060/udp 10000-20000/udp

# Healthy: Asterisk answers and the service is connected to it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD asterisk -rx 'ari show apps' | grep -qx stasis-callback

ENTRYPOINT ["entrypoint"]
CMD ["run"]
