import { readdirSync, readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";

/** A manifest of the corpus. Two documents are one object before and after an update. */
export interface CorpusFile {
  name: string;
  /** Where a refused manifest is at fault, from its comment `# field:`. */
  field: string | undefined;
  before: unknown;
  object: unknown;
}

export function corpus(folder: "accepted" | "refused"): CorpusFile[] {
  const directory = new URL(`./manifests/${folder}/`, import.meta.url);
  return readdirSync(directory)
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => {
      const text = readFileSync(new URL(name, directory), "utf8");
      const objects = parseAllDocuments(text).map((document) => document.toJS() as unknown);
      const field = /^# field: (.+)$/m.exec(text)?.[1];
      return { name, field, before: objects.length === 2 ? objects[0] : undefined, object: objects.at(-1) };
    });
}
