import { type Client, clientOf, requireState } from "./client.ts";
import type { Place } from "./place.ts";

export interface Opened {
  readonly client: Client;
  /** What -n is when it is not given. */
  readonly namespace: string;
  close(): Promise<void>;
}

/**
 * The store at a place. The client of a cluster takes longer to load than all the rest: only where it is asked for.
 *
 * @param mayCome whether a state folder that is not there yet is fine: something waits for it
 */
export async function openClient(place: Place, mayCome = false): Promise<Opened> {
  if (place.kind === "Standalone") {
    const stateDir = mayCome ? place.stateDir : await requireState(place.stateDir);
    return { client: clientOf(stateDir), namespace: "default", close: async () => undefined };
  }
  const { openCluster } = await import("./open-cluster.ts");
  return openCluster(place);
}
