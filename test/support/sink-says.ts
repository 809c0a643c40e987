import { setTimeout as sleep } from "node:timers/promises";
import { ANNOTATIONS } from "../../crds/v1alpha1/shared.ts";
import type { KubeObject, ObjectStore } from "../../operator/runtime/object-store.ts";

const adminAddresses = async (store: ObjectStore, namespace: string): Promise<string[]> => {
  const { items } = await store.list<KubeObject>("Pod", { namespace });
  return items.flatMap(({ metadata }) => metadata.annotations?.[ANNOTATIONS.adminAddress] || []);
};

/** What the sinks of a namespace answer themselves; those that are not there yet, or not any more, answer nothing. */
export async function sinkSays(store: ObjectStore, namespace: string, path = "/readyz"): Promise<string> {
  const answers = (await adminAddresses(store, namespace)).map((address) =>
    fetch(`http://${address}${path}`).then(
      (answer) => answer.text(),
      () => "",
    ),
  );
  return (await Promise.all(answers)).join("");
}

/** For tests that run at the same time: `expect.poll` is not for them. */
export async function eventually<T>(look: () => Promise<T>, found: (seen: T) => boolean, ms = 90_000): Promise<void> {
  const end = Date.now() + ms;
  for (;;) {
    const seen = await look();
    if (found(seen)) return;
    if (Date.now() > end) throw new Error(`After ${ms} ms still ${JSON.stringify(seen)}`);
    await sleep(300);
  }
}
