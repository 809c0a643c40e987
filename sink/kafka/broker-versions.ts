import { fetchApi } from "./fetch-codec.ts";
import { metadataApi } from "./metadata-codec.ts";
import { produceApi } from "./produce-codec.ts";
import { UnsupportedBrokerError } from "./protocol.ts";

/** From and to, both included. */
export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

const needed = [
  ["Metadata", metadataApi],
  ["Fetch", fetchApi],
  ["Produce", produceApi],
] as const;

/**
 * A broker cuts the connection on a request of a version that it does not know: what it speaks is looked at before.
 * `spoken`: its answer to ApiVersions, by API key. Throws UnsupportedBrokerError.
 */
export function requireVersions(address: string, spoken: (apiKey: number) => VersionRange | undefined): void {
  for (const [name, { key, version }] of needed) {
    const range = spoken(key);
    if (range !== undefined && range.min <= version && version <= range.max) continue;
    const found =
      range === undefined ? "does not say that it speaks" : `speaks versions ${range.min} to ${range.max} of`;
    throw new UnsupportedBrokerError(
      `The Kafka broker at ${address} ${found} ${name}, and version ${version} is needed: Kafka 3.1 or later`,
    );
  }
}
