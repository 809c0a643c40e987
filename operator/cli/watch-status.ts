import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "./client.ts";
import { getOne, type Scope, type Target } from "./get.ts";
import { renderStatus } from "./status.ts";

/** Prints the status, and again whenever the object changes; ends with it or with the process. */
export async function watchStatus(client: Client, target: Target, scope: Scope, print: (text: string) => void) {
  let last = "";
  for (;;) {
    const object = await getOne(client, target, scope);
    if (object.metadata.resourceVersion !== last) {
      print(`${last === "" ? "" : "\n"}${new Date().toISOString()}\n${renderStatus(object, Date.now())}`);
      last = object.metadata.resourceVersion;
    }
    await delay(500);
  }
}
