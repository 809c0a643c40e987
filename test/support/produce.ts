import { randomUUID } from "node:crypto";
import { kafkaClient } from "../../sink/kafka/client.ts";
import { auditEvent } from "./cloud-events.ts";
import { sharedServers } from "./servers.ts";

/** That many valid events, each with an id of its own, acknowledged by the shared broker, or another. */
export async function produceEvents(
  topic: string,
  count: number,
  { bootstrapServers } = sharedServers().kafka,
): Promise<void> {
  const writer = (await kafkaClient("platformatic")).createWriter({ clientId: "test", bootstrapServers });
  const header = [Buffer.from("content-type"), Buffer.from("application/cloudevents+json")] as const;
  const value = () => Buffer.from(JSON.stringify(auditEvent(randomUUID())));
  const record = () => ({ topic, key: null, value: value(), headers: [header] });
  await writer.send(Array.from({ length: count }, record)).finally(() => writer.close());
}
