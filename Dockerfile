#   docker build -t runpod-emulator .
#   docker run --init --rm -p 8000:8000 runpod-emulator                                       the example handlers
#   docker run --init --rm -p 8000:8000 -v "$PWD/my-handlers:/handlers:ro" runpod-emulator    your own
#
# -p 8000:8000 opens it to the network: -p 127.0.0.1:8000:8000 to this machine alone, or -e RUNPOD_EMULATOR_API_KEY='["KEY"]'.
# The admin API (/__emulator) is closed to the host of the container: -e RUNPOD_EMULATOR_ADMIN_KEY='["KEY"]' opens it, to
# callers that send the header Authorization: Bearer KEY. See docs/docker.md.
#
# A handler needs more packages? FROM runpod-emulator, USER root, RUN pip install ..., USER emulator.

FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY emulator/ emulator/
RUN pip install --no-cache-dir --prefix=/install '.[openai,redis]'

FROM python:3.12-slim
ENV PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 1000 emulator && install --directory --owner emulator /state
COPY --from=build /install /usr/local
COPY handlers/*.py /handlers/
USER emulator
WORKDIR /home/emulator
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=10s --start-period=15s --retries=3 CMD ["runpod-emulator", "wait", "-t", "5"]
ENTRYPOINT ["runpod-emulator", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["/handlers"]
