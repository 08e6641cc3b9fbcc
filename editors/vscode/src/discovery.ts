/** Where the server's program is: the setting, the workspace's environment, the extension's own, or PATH. */

import * as path from "node:path";

export interface Program {
  command: string;
  args: string[];
  /** Where it was found, in words. */
  origin: string;
}

export interface Surroundings {
  platform: NodeJS.Platform;
  home: string;
  /** The PATH variable. */
  searchPath: string;
  /** The setting `flash-lsp.serverCommand`. */
  serverCommand: readonly string[];
  /** Folders of the workspace; none while the workspace is not trusted. */
  folders: readonly string[];
  /** The Python of the extension's own environment, once that is complete. */
  ownPython: string | undefined;
  /** Whether a file can be run. */
  isProgram(file: string): boolean;
}

/** The server's program, or undefined: there is none. A program that is set is returned without a look at it. */
export function findServer(where: Surroundings): Program | undefined {
  const [set, ...args] = where.serverCommand.map((word) => expand(word, where));
  if (set !== undefined) return { command: set, args, origin: "setting flash-lsp.serverCommand" };

  const { join, delimiter } = where.platform === "win32" ? path.win32 : path.posix;
  const [binaries, name] = where.platform === "win32" ? ["Scripts", "flash-lsp.exe"] : ["bin", "flash-lsp"];
  for (const folder of where.folders) {
    for (const environment of [".venv", "venv"]) {
      const command = join(folder, environment, binaries, name);
      if (where.isProgram(command)) return { command, args: [], origin: "the workspace's environment" };
    }
  }
  if (where.ownPython) {
    return { command: where.ownPython, args: ["-P", "-m", "flash_lsp"], origin: "the extension's own environment" };
  }
  for (const folder of where.searchPath.split(delimiter).filter(Boolean)) {
    const command = join(folder, name);
    if (where.isProgram(command)) return { command, args: [], origin: "PATH" };
  }
  return undefined;
}

function expand(word: string, { home, folders }: Surroundings): string {
  return word.replace(/^~(?=[\\/]|$)/, () => home).replaceAll("${workspaceFolder}", () => folders[0] ?? "");
}
