import { installPostgres } from "./install-postgres.ts";
import { prepareKafka } from "./kafka.ts";

/** `make setup`: fetches what the servers need, so that starting one is quick ever after. */
await Promise.all([prepareKafka(), installPostgres(18)]);
