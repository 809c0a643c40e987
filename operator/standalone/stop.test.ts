import { tmpdir } from "node:os";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { NotFoundError, type ObjectStore } from "../runtime/object-store.ts";
import { podRunner } from "./pods.ts";
import { runEnds } from "./run-ends.ts";

const pod = (name: string) => ({
  ...{ apiVersion: "v1", kind: "Pod", metadata: { namespace: "n", name, uid: `no-process-of-${name}` } },
  spec: { containers: [{ name: "sink" }] },
});

test("a pod that goes away while all are stopped harms nothing and is no news", async () => {
  const told: string[] = [];
  const lines: string[] = [];
  const store = {
    list: async () => ({ items: [pod("gone"), pod("stays")] }),
    async patchStatus({ name }: { name: string }) {
      if (name === "gone") throw new NotFoundError("Pod n/gone");
      told.push(name);
    },
  } as unknown as ObjectStore;
  const log = pino({}, { write: (line: string) => lines.push(line) });
  await podRunner({ store, log, dir: tmpdir(), stateId: "none", commands: {} }).stopAll();
  expect(told).toEqual(["stays"]);
  expect(lines).toEqual([]);
});

describe("runEnds", () => {
  test("runs every end, in order, and throws the first failure", async () => {
    const run: string[] = [];
    const end = (name: string, error?: string) => async () => {
      run.push(name);
      if (error !== undefined) throw new Error(error);
    };
    await expect(runEnds([end("a"), end("b", "first"), end("c", "second"), end("d")])).rejects.toThrow("first");
    expect(run).toEqual(["a", "b", "c", "d"]);
  });
});
