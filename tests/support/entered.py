"""A package as pip would have installed it: its metadata with entry points, and a module, in a folder."""

from pathlib import Path


def enter(folder: Path, group: str, name: str, target: str, text: str = "") -> Path:
    """Put a distribution into the folder that enters `target` ("module:Class") under the name; gives the folder.

    `text` is the module's source; without any there is no such module.
    """
    module = target.partition(":")[0]
    metadata = folder / "{}-1.0.dist-info".format(module.split(".")[0])
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: {}\nVersion: 1.0\n".format(module.split(".")[0]))
    (metadata / "entry_points.txt").write_text("[{}]\n{} = {}\n".format(group, name, target))
    if text:
        path = folder.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
