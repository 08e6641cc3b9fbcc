// The parts of the extension that need no editor. Run: node --test (after esbuild, see test_units.py).

import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../../../../editors/vscode/src/backoff";
import { findServer, type Surroundings } from "../../../../editors/vscode/src/discovery";
import { candidates, wantedVersions } from "../../../../editors/vscode/src/python";
import { fromServer, present } from "../../../../editors/vscode/src/status";

function on(platform: NodeJS.Platform, programs: string[], rest: Partial<Surroundings> = {}): Surroundings {
  return {
    platform,
    home: platform === "win32" ? "C:\\Users\\ada" : "/home/ada",
    searchPath: "",
    serverCommand: [],
    folders: [],
    ownPython: undefined,
    isProgram: (file) => programs.includes(file),
    ...rest,
  };
}

test("the setting comes first, with ~ and the workspace's folder filled in", () => {
  const set = on("linux", [], { serverCommand: ["~/bin/flash-lsp", "--x=${workspaceFolder}/y"], folders: ["/src/my $& app"] });
  assert.deepEqual(findServer(set), {
    command: "/home/ada/bin/flash-lsp",
    args: ["--x=/src/my $& app/y"],
    origin: "setting flash-lsp.serverCommand",
  });
});

test("the workspace's environment comes before the extension's own, that before PATH", () => {
  const workspace = "/b/.venv/bin/flash-lsp";
  const all = on("linux", [workspace, "/usr/bin/flash-lsp"], {
    folders: ["/a", "/b"],
    ownPython: "/storage/bin/python",
    searchPath: "/bin::/usr/bin",
  });
  assert.equal(findServer(all)?.command, workspace);
  assert.deepEqual(findServer({ ...all, folders: [] })?.args, ["-P", "-m", "flash_lsp"]);
  assert.equal(findServer({ ...all, folders: [], ownPython: undefined })?.command, "/usr/bin/flash-lsp");
});

test("Windows: Scripts, .exe, ; and backslashes", () => {
  const program = "C:\\work\\my app\\.venv\\Scripts\\flash-lsp.exe";
  assert.equal(findServer(on("win32", [program], { folders: ["C:\\work\\my app"] }))?.command, program);
  const inPath = "D:\\Tools\\flash-lsp.exe";
  assert.equal(findServer(on("win32", [inPath], { searchPath: "C:\\Windows;D:\\Tools" }))?.command, inPath);
  assert.equal(findServer(on("win32", [], { serverCommand: ["~\\flash-lsp.exe"] }))?.command, "C:\\Users\\ada\\flash-lsp.exe");
});

test("no server anywhere", () => {
  assert.equal(findServer(on("darwin", [], { folders: ["/a"], searchPath: "/bin" })), undefined);
});

test("waits twice as long after each crash, gives up at the fifth within three minutes", () => {
  let now = 0;
  const backoff = new Backoff(() => now);
  assert.deepEqual([1, 2, 3, 4, 5].map(() => backoff.next()), [500, 1000, 2000, 4000, undefined]);
  now += 180_000;
  assert.equal(backoff.next(), 500);
});

test("the wheels name the Python that they need", () => {
  const files = ["flash_lsp-0.1.0-cp311-cp311-manylinux_2_34_x86_64.whl", "flash_lsp-0.1.0-cp312-abi3-win_amd64.whl", "numpy-2.0-cp39-x.whl"];
  assert.deepEqual(wantedVersions(files), ["3.11", "3.12"]);
  assert.deepEqual(candidates("win32", ["3.11"]), [["py", "-3.11"], ["python"]]);
  assert.deepEqual(candidates("linux", ["3.11"]), [["python3.11"], ["python3"], ["python"]]);
});

test("the status bar says what is going on", () => {
  assert.equal(present({ state: "ready" }).text, "$(zap) flash-lsp");
  assert.equal(present({ state: "thinking" }).text, "$(loading~spin) flash-lsp");
  assert.equal(present({ state: "silent", reason: "mid-line" }).text, "$(dash) flash-lsp: mid-line");
  assert.equal(present({ state: "loading", percent: 39.6 }).text, "$(loading~spin) flash-lsp: loading 40 %");
  assert.equal(present({ state: "paused", reason: "until 10:30" }).text, "$(debug-pause) flash-lsp: paused");
  assert.deepEqual(present({ state: "error", message: "no model" }).severity, "error");
  assert.match(present({ state: "error", message: "no model" }).tooltip, /no model/);
});

test("a state that this client does not know counts as ready", () => {
  assert.deepEqual(fromServer({ state: "dreaming", message: "zzz" }), { state: "ready", message: "zzz" });
});
