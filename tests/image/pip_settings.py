"""Hand this machine's pip settings to a build: a pip.conf, and buildah's `--volume` options that go with it.

Whatever the settings name on this disk (certificates, constraints, wheels, indexes) the build sees below /host.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

ON_DISK = re.compile(r"(?<!\S)(file://)?(/\S+)")


def main(pip_conf: Path) -> None:
    """Write the settings to this file and print one option a line."""
    volumes = {pip_conf: "/etc/pip.conf"}

    def below_host(found: re.Match[str]) -> str:
        scheme, path = found[1] or "", Path(found[2])
        if not path.exists():
            return found[0]
        folder = path.parent if scheme else path  # an index's links lead to what lies beside it
        volumes[folder] = f"/host{folder}"
        return f"{scheme}/host{path}"

    settings = {name: ON_DISK.sub(below_host, value) for name, value in settings_here().items()}
    lines = [f"{name} = {' '.join(value.split())}\n" for name, value in settings.items()]
    pip_conf.write_text("[global]\n" + "".join(lines), encoding="utf-8")
    for path, place in volumes.items():
        print(f"--volume={path}:{place}:ro")


def settings_here() -> dict[str, str]:
    """What pip was told by files and by the environment, which stands over the files."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told: dict[str, dict[str, str]] = {"global": {}, ":env:": {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in told:
            told[section][name] = ast.literal_eval(value)
    return told["global"] | told[":env:"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
