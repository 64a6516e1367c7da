# docker build -t sae-bench .            CPU; for a GPU: --build-arg TORCH_INDEX=<index of CUDA builds of torch>
# docker run --rm -v "$PWD/results:/results" sae-bench demo --output-folder /results
FROM python:3.11-slim

ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/sae-bench

COPY constraints.txt requirements-embedded.txt pyproject.toml README.md LICENSE ./
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" torch; else pip install -c constraints.txt torch; fi

COPY sae_bench sae_bench
RUN pip install -c constraints.txt ".[graphs,hub,judge]" && pip install --no-deps -r requirements-embedded.txt

RUN useradd --create-home researcher
USER researcher
WORKDIR /home/researcher
ENTRYPOINT ["sae-bench"]
CMD ["--help"]
