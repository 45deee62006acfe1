"""Notebooks run by papermill, in a kernel of this very Python, without noise and without a trace of this machine."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bmtlib
from bmtlib.errors import BmtError, CaseError, InputError, MachineError
from bmtlib.files import write_whole

# An error of ours in a notebook stays what it is, so that the command line ends with its exit code.
_KINDS: dict[str, type[BmtError]] = {kind.__name__: kind for kind in (InputError, MachineError, CaseError)}
_OURS = str(Path(bmtlib.__file__).resolve().parent.parent)


def execute(notebook: Path, output: Path, parameters: Mapping[str, Any]) -> None:
    """Run `notebook` with `parameters` and keep the executed copy as `output`, which is written cell by cell.

    The kernel works in the folder of `output`. A `Path` among the parameters is handed over relative to that folder,
    so the copy can be run again where it lies, also after the run folder was moved. May be called in any thread.

    Raises InputError (no such notebook, or raised by a cell), MachineError (`output` cannot be written, no kernel, or
    raised by a cell), BmtError (anything else that a cell raised); each names the notebook, the cell and the error.
    """
    if not notebook.is_file():
        raise InputError(f"there is no notebook {notebook.name}", where=str(notebook), todo="is the project complete?")
    folder = output.parent.absolute()
    given = {
        key: os.path.relpath(value, folder) if isinstance(value, Path) else value for key, value in parameters.items()
    }
    reserve(output)
    try:
        _run(notebook, output, given)
    finally:
        _forget_machine(output, notebook.name)


def reserve(output: Path) -> None:
    """Make an empty file where an executed copy will lie: what is made beside it can link to it already.

    Raises MachineError when it cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("")
    except OSError as error:
        raise _cannot_write(output, error) from error


def _run(notebook: Path, output: Path, parameters: dict[str, Any]) -> None:
    # These imports take two seconds, and the kernels of the notebooks import this module.
    import papermill
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    with tempfile.TemporaryDirectory(prefix="bmt-kernel-") as private:
        kernel = AsyncKernelManager(
            kernel_name="python3",
            # Without folders to look in, "python3" is this interpreter, whatever kernels the user has installed.
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            # Sockets in a private folder: no port, and nobody else on this machine can talk to the kernel.
            transport="ipc",
            connection_file=str(Path(private) / "kernel.json"),
        )
        assert kernel.kernel_spec is not None
        # It finds the bmtlib that we are, installed or not.
        kernel.kernel_spec.env["PYTHONPATH"] = os.pathsep.join([_OURS, *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            papermill.execute_notebook(
                str(notebook.absolute()),
                str(output.absolute()),
                parameters,
                progress_bar=False,
                km=kernel,
                resources={"metadata": {"path": str(output.parent.absolute())}},
                store_widget_state=False,
                record_timing=False,
            )
        except PapermillExecutionError as error:
            raise _named(notebook, error) from None
        except (DeadKernelError, RuntimeError) as error:
            raise MachineError(f"{notebook.name}: its kernel ended: {error}", todo="is there memory enough?") from error
        except OSError as error:
            raise _cannot_write(output, error) from error
        finally:
            _stop(kernel)


def _stop(kernel: Any) -> None:
    from jupyter_core.utils import run_sync

    if kernel.has_kernel:
        run_sync(kernel.shutdown_kernel)(now=True)


def _cannot_write(output: Path, error: OSError) -> MachineError:
    return MachineError(
        f"cannot write {output.name}: {error.strerror}",
        where=str(output.parent),
        todo="make room or get the right to write there; `bmt report RUN --out DIR` makes the page alone, elsewhere",
    )


def _named(notebook: Path, error: Any) -> BmtError:
    """papermill's error (a page of colours and traceback) in words."""
    kind = _KINDS.get(error.ename, BmtError)
    first = str(error.source).strip().splitlines()[0] if error.source else ""
    return kind(
        f"{notebook.name} failed in cell {error.cell_index + 1}: {error.ename}: {error.evalue}",
        where=f"the cell that begins with: {first}",
        todo="the executed copy in the run folder's notebooks/ holds the traceback" if kind is BmtError else "",
    )


def _forget_machine(output: Path, name: str) -> None:
    """Take out of the executed copy what differs from machine to machine and from time to time."""
    try:
        content = json.loads(output.read_text())
    except (OSError, ValueError):  # it did not come as far as the first cell
        output.unlink(missing_ok=True)
        return
    facts = content["metadata"].get("papermill", {})
    content["metadata"]["papermill"] = {"input_path": name, "parameters": facts.get("parameters", {})}
    for cell in content["cells"]:
        cell["metadata"].pop("papermill", None)
        if "injected-parameters" in cell["metadata"].get("tags", []):
            cell["id"] = "injected-parameters"
    try:
        write_whole(output, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise _cannot_write(output, error) from error
