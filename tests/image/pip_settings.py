"""Hand this machine's pip settings to a build: write them as a pip.conf and print the `--volume` options that go with it.

Whatever the settings name on this disk (certificates, constraints, wheels, indexes) is shown to the build below /host.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

ON_DISK = re.compile(r"(?<!\S)(file://)?(/\S+)")


def main(pip_conf: Path) -> None:
    """Write the settings to the path and print one option a line."""
    shown = {pip_conf: "/etc/pip.conf"}

    def below_host(found: re.Match[str]) -> str:
        scheme, path = found[1] or "", Path(found[2])
        if not path.exists():
            return found[0]
        folder = path.parent if scheme else path  # An index's links lead to the folders beside it.
        shown[folder] = f"/host{folder}"
        return f"{scheme}/host{path}"

    settings = {name: ON_DISK.sub(below_host, value) for name, value in host_settings().items()}
    lines = [f"{name} = {' '.join(value.split())}\n" for name, value in settings.items()]
    pip_conf.write_text("[global]\n" + "".join(lines), encoding="utf-8")
    for path, place in shown.items():
        print(f"--volume={path}:{place}:ro")


def host_settings() -> dict[str, str]:
    """What pip was told here by files and by the environment, which stands over the files."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    told = {":env:": {}, "global": {}}
    for line in asked.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        told.get(section, {})[name] = ast.literal_eval(value)
    return told["global"] | told[":env:"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
