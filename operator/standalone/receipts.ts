import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Receipt, ReceiptSubject, Receipts } from "../external/receipts.ts";

/** Receipts as files: `<state>/receipts/<namespace>.<pipeline>.json`, for a topic `<namespace>.<name>.audittopic.json`. */
export function fileReceipts(stateDir: string): Receipts {
  const pathOf = ({ kind, namespace, name }: Pick<ReceiptSubject, "kind" | "namespace" | "name">) =>
    join(stateDir, "receipts", `${namespace}.${name}${kind === "AuditPipeline" ? "" : `.${kind.toLowerCase()}`}.json`);

  const read: Receipts["read"] = async (subject) => {
    try {
      return JSON.parse(await readFile(pathOf(subject), "utf8")) as Receipt;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  };

  return {
    read,
    async add(subject, items) {
      const kept = (await read(subject))?.items.filter(
        (old) => !items.some((item) => item.kind === old.kind && item.name === old.name),
      );
      await writeDurably(
        pathOf(subject),
        `${JSON.stringify({ subject, items: [...(kept ?? []), ...items] }, null, 2)}\n`,
      );
    },
  };
}

async function writeDurably(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(`${path}.tmp`, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.tmp`, path);
  const folder = await open(dirname(path), "r");
  await folder.sync().finally(() => folder.close());
}
