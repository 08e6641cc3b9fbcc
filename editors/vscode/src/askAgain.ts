/** Making the editor ask once more: for a longer text (`flash-lsp/ready`), or because the server or its settings have changed. */

import * as vscode from "vscode";

export interface Ready {
  uri: string;
  version: number;
  position: { line: number; character: number };
}

/** The client's way to the server's suggestions. */
export interface Feature {
  getProvider(document: vscode.TextDocument): vscode.InlineCompletionItemProvider | undefined;
}

/** Whether the editor is set to show suggestions by itself in this document. */
export function wanted(document: vscode.TextDocument): boolean {
  return vscode.workspace.getConfiguration("editor", document).get<boolean>("inlineSuggest.enabled", true);
}

/** Asks again, unless the user has moved on since the last reply. */
export async function askForMore({ uri, version, position }: Ready, feature: Feature | undefined): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (!editor || editor.document.uri.toString() !== vscode.Uri.parse(uri).toString()) return;
  const { line, character } = editor.selection.active;
  if (editor.document.version === version && line === position.line && character === position.character) await ask(editor, feature);
}

/** Asks at the cursor if the user is writing: the server is there, or is set differently than it was. */
export async function askAgain(feature: Feature | undefined): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (editor?.document.isDirty) await ask(editor, feature);
}

/**
 * The editor does not ask the same provider twice about an unchanged document, and an explicit request keeps the shorter
 * text that is shown in front of the new one. So it is asked as if the user were typing, and of a provider that it does
 * not know yet; the text shown stays until the longer one takes its place.
 */
async function ask(editor: vscode.TextEditor, feature: Feature | undefined): Promise<void> {
  const provider = feature?.getProvider(editor.document);
  if (!provider || !editor.selection.isEmpty || !wanted(editor.document)) return;
  const { scheme } = editor.document.uri;
  const again = vscode.languages.registerInlineCompletionItemProvider({ scheme }, { ...provider });
  const likeTyping = { explicit: false, providerId: "flash-lsp.flash-lsp:*" };
  try {
    await vscode.commands.executeCommand("editor.action.inlineSuggest.trigger", likeTyping);
  } finally {
    again.dispose();
  }
}
