import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { GoneError, type KubeObject, type ObjectStore, type WatchEvent } from "./object-store.ts";
import { runWatch } from "./watch.ts";

const object = (name: string, version: number): KubeObject => ({
  ...{ apiVersion: "v1", kind: "ConfigMap" },
  metadata: {
    ...{ name, namespace: "n", uid: name, resourceVersion: String(version), generation: 1 },
    creationTimestamp: "2026-01-01T00:00:00Z",
  },
});

/** What a server does at each call: lists in turn, and for each list one watch. */
interface Script {
  lists: (KubeObject[] | Error)[];
  watches: (WatchEvent[] | Error)[];
}

/** Runs the script to its end and answers what was told. */
async function told({ lists, watches }: Script, relistMs = 600_000): Promise<string[]> {
  const seen: string[] = [];
  const stop = new AbortController();
  const store = {
    async list() {
      const next = lists.shift();
      if (next === undefined) stop.abort();
      if (next instanceof Error) throw next;
      return { items: next ?? [], resourceVersion: "1" };
    },
    async *watch(_: string, { signal }: { signal: AbortSignal }) {
      const next = watches.shift();
      if (next instanceof Error) throw next;
      yield* next ?? [];
      if (watches.length > 0 || signal.aborted) return;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  } as unknown as ObjectStore;
  await runWatch({
    ...{ store, kind: "ConfigMap", signal: stop.signal, log: pino({ level: "silent" }), relistMs },
    onChange: ({ metadata }, before, deleted) => {
      seen.push(`${deleted ? "deleted" : before ? "changed" : "added"} ${metadata.name}`);
    },
  });
  return seen;
}

const added = (value: KubeObject): WatchEvent => ({ type: "Added", object: value });

describe("runWatch", () => {
  test("tells what is there, then what changes", async () => {
    const events: WatchEvent[] = [
      ...[added(object("b", 2)), { type: "Modified" as const, object: object("a", 3) }],
      { type: "Bookmark", resourceVersion: "3" },
      { type: "Deleted", object: object("b", 4) },
    ];
    const seen = await told({ lists: [[object("a", 1)]], watches: [events, []] });
    expect(seen.slice(0, 4)).toEqual(["added a", "added b", "changed a", "deleted b"]);
  });

  test("lists again after Gone, and tells what it missed: changes, deletions, and nothing twice", async () => {
    const seen = await told({
      lists: [
        [object("a", 1), object("b", 1), object("c", 1)],
        [object("a", 1), object("b", 2)],
      ],
      watches: [new GoneError("too old"), [], []],
    });
    expect(seen.slice(0, 5)).toEqual(["added a", "added b", "added c", "deleted c", "changed b"]);
  });

  test("a list that fails is tried again", async () => {
    const seen = await told({ lists: [new Error("down"), [object("a", 1)]], watches: [[], []] });
    expect(seen[0]).toBe("added a");
  });

  test("a watch that ends is begun again from a list", async () => {
    const seen = await told({ lists: [[], [object("a", 1)]], watches: [[], [], []] });
    expect(seen).toContain("added a");
  });

  test("a watch that stays silent does not hide what changed: it lists all the same", async () => {
    const seen = await told({ lists: [[], [object("missed", 1)]], watches: [] }, 50);
    expect(seen[0]).toBe("added missed");
  });
});
