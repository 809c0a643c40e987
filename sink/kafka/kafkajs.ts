import type { KafkaClient } from "./port.ts";

const absent = (): never => {
  throw new Error("The kafkajs client is not built in yet; set kafka.client to platformatic");
};

export const kafka: KafkaClient = { createReader: absent, createWriter: absent };
