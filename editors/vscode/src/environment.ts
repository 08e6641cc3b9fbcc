/** The server's own environment, made in the extension's storage from the wheels that the full package carries. */

import { execFile, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { findPython, howToInstall, wantedVersions } from "./python";

const run = promisify(execFile);

export interface Progress {
  /** `percent`: 0 to 100. */
  report(message: string, percent: number): void;
}

export class Environment {
  /** `wheels`: the folder in the extension, absent from the thin package; `folder`: where the environment belongs. */
  constructor(
    private readonly wheels: string,
    private readonly folder: string,
  ) {}

  /** Whether the extension carries the server. */
  get bundled(): boolean {
    return existsSync(this.wheels);
  }

  /** The environment's Python once it is complete, else undefined. */
  get python(): string | undefined {
    return this.installed === undefined ? undefined : this.interpreter;
  }

  /** Whether the extension carries another server than the one that is installed. */
  async outdated(): Promise<boolean> {
    return this.bundled && this.installed !== undefined && this.installed !== (await this.identity());
  }

  /** Makes the environment anew, without any network. Throws an Error that says what is missing and how to get it. */
  async create(progress: Progress, signal: AbortSignal): Promise<void> {
    const files = await readdir(this.wheels);
    const versions = wantedVersions(files);
    const pip = files.find((file) => file.startsWith("pip-"));
    if (!pip) throw new Error(`The extension is damaged: no pip in ${this.wheels}. Install it again.`);

    progress.report("Looking for Python …", 2);
    const python = await findPython(versions);
    if (!python) {
      const wanted = versions.join(" or ");
      throw new Error(`Python ${wanted} was not found. ${howToInstall(process.platform, versions[0] ?? "3.11")} Then set up again.`);
    }

    progress.report(`Making an environment with Python ${python.version} …`, 5);
    await rm(this.folder, { recursive: true, force: true });
    await mkdir(path.dirname(this.folder), { recursive: true });
    await run(python.command, [...python.args, "-I", "-m", "venv", "--without-pip", this.folder], { signal });

    const total = files.length;
    let unpacked = 0;
    await this.pip(path.join(this.wheels, pip), signal, (line) => {
      const name = /^Processing .*[\\/]([^\\/-]+)-/.exec(line)?.[1];
      if (name) progress.report(`Unpacking ${name} …`, 10 + (50 * ++unpacked) / total);
      else if (line.startsWith("Installing")) progress.report("Installing the server and its model …", 65);
    });
    await writeFile(this.stamp, await this.identity());
    progress.report("Starting the server …", 100);
  }

  private async pip(pipWheel: string, signal: AbortSignal, onLine: (line: string) => void): Promise<void> {
    const options = ["--no-index", "--find-links", this.wheels, "--isolated", "--no-input", "--disable-pip-version-check", "--no-cache-dir"];
    const args = ["-I", path.join(pipWheel, "pip"), "install", ...options, "flash-lsp"];
    const process = spawn(this.interpreter, args, { signal, stdio: ["ignore", "pipe", "pipe"] });
    let errors = "";
    process.stderr.on("data", (data: Buffer) => (errors += data.toString()));
    createInterface(process.stdout).on("line", (line) => onLine(line.trim()));
    const code = await new Promise<number | null>((resolve, reject) => process.on("error", reject).on("close", resolve));
    if (code !== 0) throw new Error(`pip failed: ${errors.trim() || `exit code ${code}`}`);
  }

  private get interpreter(): string {
    return process.platform === "win32"
      ? path.join(this.folder, "Scripts", "python.exe")
      : path.join(this.folder, "bin", "python");
  }

  private get stamp(): string {
    return path.join(this.folder, "flash-lsp.installed");
  }

  private get installed(): string | undefined {
    return existsSync(this.stamp) && existsSync(this.interpreter) ? readFileSync(this.stamp, "utf8") : undefined;
  }

  /** The names of the server's wheels tell its version. */
  private async identity(): Promise<string> {
    const files = await readdir(this.wheels);
    return files.filter((file) => file.startsWith("flash_lsp-")).sort().join("\n");
  }
}
