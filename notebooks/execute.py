"""Executes a notebook and keeps what it shows: `python notebooks/execute.py IN [OUT]`.

Nothing that changes from run to run is kept, such as times, so that a run that finds the same
leaves the same file.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

SECONDS = 300  # for one cell; the slowest takes ten on a large catalogue


def main(source: Path, target: Path) -> None:
    notebook = nbformat.read(source, as_version=4)
    place = {"metadata": {"path": str(source.parent)}}
    NotebookClient(notebook, timeout=SECONDS, resources=place, record_timing=False).execute()
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    )
    nbformat.write(notebook, target)


if __name__ == "__main__":
    paths = [Path(each) for each in sys.argv[1:]]
    main(paths[0], paths[-1])
