import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { mergedItems, type Receipt, type ReceiptSubject, type Receipts } from "../external/receipts.ts";
import { fileNameOf, writeDurably } from "./object-files.ts";

/** Receipts as files: `<state>/receipts/<namespace>.<pipeline>.json`, for a topic `<namespace>.<name>.audittopic.json`. */
export function fileReceipts(stateDir: string): Receipts {
  const pathOf = ({ kind, namespace, name }: Pick<ReceiptSubject, "kind" | "namespace" | "name">) => {
    const suffix = kind === "AuditPipeline" ? "" : `.${kind.toLowerCase()}`;
    return join(stateDir, "receipts", `${fileNameOf(`${namespace}.${name}`)}${suffix}.json`);
  };

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
      const receipt: Receipt = { subject, items: mergedItems(await read(subject), subject, items) };
      await writeDurably(pathOf(subject), `${JSON.stringify(receipt, null, 2)}\n`);
    },
  };
}
