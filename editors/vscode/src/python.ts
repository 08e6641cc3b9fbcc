/** Finding a Python for the server's environment. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Python {
  command: string;
  args: string[];
  /** Such as "3.11". */
  version: string;
}

/** The Python versions that the wheels of flash-lsp in `files` are built for, as in "flash_lsp-0.1.0-cp311-cp311-linux.whl". */
export function wantedVersions(files: readonly string[]): string[] {
  return files.flatMap((file) => /^flash_lsp-[^-]+-(?:py|cp)(3)(\d+)-/.exec(file)?.slice(1).join(".") ?? []);
}

/** Ways to start Python, the most specific first. */
export function candidates(platform: NodeJS.Platform, versions: readonly string[]): [string, ...string[]][] {
  if (platform === "win32") return [...versions.map((version): [string, string] => ["py", `-${version}`]), ["python"]];
  return [...versions.map((version): [string] => [`python${version}`]), ["python3"], ["python"]];
}

/** The first Python of one of these versions on this machine. */
export async function findPython(versions: readonly string[]): Promise<Python | undefined> {
  const script = "import sys, venv; print('%d.%d' % sys.version_info[:2])";
  for (const [command, ...args] of candidates(process.platform, versions)) {
    try {
      const { stdout } = await run(command, [...args, "-I", "-c", script], { timeout: 10_000 });
      const version = stdout.trim();
      if (versions.includes(version)) return { command, args, version };
    } catch {
      continue;
    }
  }
  return undefined;
}

/** How to get a Python, in one sentence. */
export function howToInstall(platform: NodeJS.Platform, version: string): string {
  if (platform === "win32") return `Install it with "winget install Python.Python.${version}", or from python.org.`;
  if (platform === "darwin") return `Install it with "brew install python@${version}", or from python.org.`;
  return `Install it with your package manager: "apt install python${version}" or "dnf install python${version}".`;
}
