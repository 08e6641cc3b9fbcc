/** Choices that the user makes from a list: minutes to snooze, the model, languages. */

import * as vscode from "vscode";
import * as settings from "./settings";

export async function chooseMinutes(): Promise<number | undefined> {
  const items = [5, 15, 30, 60, 240].map((minutes) => ({
    label: minutes < 60 ? `${minutes} minutes` : minutes === 60 ? "1 hour" : `${minutes / 60} hours`,
    minutes,
  }));
  return (await vscode.window.showQuickPick(items, { placeHolder: "No suggestions for …" }))?.minutes;
}

const BUNDLED = "flash-coder";

export async function chooseModel(): Promise<void> {
  const now = settings.get("model", BUNDLED);
  const bundled = { label: BUNDLED, description: "bundled", detail: "135 million parameters, int4, 80 MB" };
  const browse = { label: "A model's folder…", detail: "Hugging Face safetensors or MLX-quantized, on this machine" };
  const current = now === BUNDLED ? [] : [{ label: now, description: "in use" }];
  const chosen = await vscode.window.showQuickPick([bundled, ...current, browse], { placeHolder: `In use: ${now}` });
  if (!chosen) return;
  if (chosen !== browse) return settings.set("model", chosen.label);
  const [folder] = (await vscode.window.showOpenDialog({ canSelectFolders: true, canSelectFiles: false, openLabel: "Use this model" })) ?? [];
  if (folder) await settings.set("model", folder.fsPath);
}

export function isOff(language: string | undefined): boolean {
  return language !== undefined && settings.get<string[]>("disabledLanguages", []).includes(language);
}

export async function toggleLanguage(language: string): Promise<void> {
  const off = settings.get<string[]>("disabledLanguages", []);
  const after = off.includes(language) ? off.filter((each) => each !== language) : [...off, language];
  await settings.set("disabledLanguages", after);
}
