import type { KafkaClient } from "./port.ts";

/** Loads one adapter and leaves the other alone: each brings some 100 MB and a second of start. */
export async function kafkaClient(name: "platformatic" | "kafkajs"): Promise<KafkaClient> {
  const { kafka } = name === "kafkajs" ? await import("./kafkajs.ts") : await import("./platformatic.ts");
  return kafka;
}
