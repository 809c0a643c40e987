import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;

/**
 * Verifies one pipeline's ledger, with SELECT alone and nothing of the pipeline's own code: written from
 * docs/chain.md, in another language. Exit 0 verified, 1 not, 2 wrong usage or no connection.
 */
public final class Verify {
    private static final String HELP = """
            Usage: hack/verify/verify [--url URL] [options]

              --url URL          postgresql://user:password@host:port/database (default: $POSTGRES_READER_URL)
              --schema NAME      the ledger's schema (audit)
              --head FILE        compare with the chain heads kept in FILE, outside the database
              --write-head FILE  once verified, add the heads to FILE
              --bootstrap HOSTS  Kafka brokers, with --topic: compare every offset with the log itself
              --topic NAME       the pipeline's topic
              --dlq NAME         its dead-letter topic: each DeadLettered offset must be there
              --sink NAME        only dead letters whose audit-sink is NAME
              --retention N      no month may have been dropped before it was N months old
              --complete         the ledger must have reached the end of the log
              -o table|json      output (table)
              --batch            several ledgers in one run: each line of standard input is a JSON array of these options,
                                 answered by one line, a report as JSON or {"error": "..."}
            """;
    private static final List<String> VALUES =
            List.of("--url", "--schema", "--head", "--write-head", "--bootstrap", "--topic", "--dlq", "--sink", "--retention", "-o");

    private Verify() {}

    public static void main(String[] args) {
        try {
            System.exit(run(args));
        } catch (UsageException error) {
            System.err.println(error.getMessage());
            System.exit(2);
        } catch (SQLException | IOException | ExecutionException | IllegalArgumentException error) {
            System.err.println("Cannot verify: " + error.getMessage());
            System.exit(2);
        } catch (InterruptedException error) {
            System.exit(2);
        }
    }

    private static final class UsageException extends Exception {
        private static final long serialVersionUID = 1L;

        UsageException(String message) {
            super(message + System.lineSeparator() + HELP);
        }
    }

    private static int run(String[] args)
            throws UsageException, SQLException, IOException, ExecutionException, InterruptedException {
        if (List.of(args).equals(List.of("--batch"))) return batch();
        Map<String, String> options = parse(args);
        if (options.containsKey("--help")) {
            System.out.print(HELP);
            return 0;
        }
        Report report = verify(options);
        System.out.println("json".equals(options.get("-o")) ? report.json() : report.table());
        return report.good() ? 0 : 1;
    }

    /** Answers line by line, so that who asks may wait for each. The exit code is that of the worst answer. */
    private static int batch() throws IOException, InterruptedException {
        int worst = 0;
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                if (!(Json.parse(line) instanceof List<?> args)) throw new IllegalArgumentException("not an array: " + line);
                Report report = verify(parse(args.stream().map(String.class::cast).toArray(String[]::new)));
                System.out.println(report.json());
                worst = Math.max(worst, report.good() ? 0 : 1);
            } catch (UsageException | SQLException | ExecutionException | IllegalArgumentException | ClassCastException error) {
                System.out.println("{\"error\":" + Report.quote(String.valueOf(error.getMessage())) + "}");
                worst = 2;
            }
        }
        return worst;
    }

    private static Report verify(Map<String, String> options)
            throws UsageException, SQLException, IOException, ExecutionException, InterruptedException {
        Heads heads = options.containsKey("--head") ? Heads.read(Path.of(options.get("--head"))) : Heads.none();
        Report report = new Report();
        try (Connection connection = connect(options); KafkaLog log = log(options)) {
            verify(new Ledger(connection, options.getOrDefault("--schema", "audit")), report, heads, log,
                    options.containsKey("--complete"), Integer.parseInt(options.getOrDefault("--retention", "0")));
        }
        if (options.containsKey("--write-head") && report.good()) {
            heads.write(Path.of(options.get("--write-head")), report.partitions);
        }
        return report;
    }

    private static void verify(Ledger ledger, Report report, Heads heads, KafkaLog log, boolean complete, int retentionMonths) throws SQLException {
        report.partitions.addAll(ledger.progress());
        if (report.partitions.isEmpty()) {
            report.problems.add(new Report.Problem("Empty", null, 0, -1, "progress has no rows: there is nothing to verify"));
        }
        for (String key : heads.missing(report.partitions)) {
            report.problems.add(new Report.Problem("TailCut", null, 0, -1, "a head was kept for " + key + ", which progress does not know"));
        }
        for (Report.Partition partition : report.partitions) {
            if (log == null || !log.topicId.equals(partition.topicId)) {
                new Walk(ledger, partition, heads, null).run();
                continue;
            }
            try (KafkaLog.Partition records = log.partition(partition.partition, partition.nextOffset)) {
                new Walk(ledger, partition, heads, records).run();
                partition.comparedWithLog = records.compared;
                partition.withoutAppendTime = records.withoutAppendTime;
                partition.logEnd = records.logEnd;
            }
            if (complete && partition.problem == null && partition.logEnd > partition.nextOffset) {
                partition.problem = new Report.Problem("Incomplete", partition.topicId, partition.partition,
                        partition.nextOffset, "the log goes on to offset " + partition.logEnd);
            }
        }
        if (log != null && report.partitions.stream().noneMatch(partition -> log.topicId.equals(partition.topicId))) {
            report.problems.add(new Report.Problem("NoProgress", log.topicId, 0, -1, "progress knows no partition of the topic"));
        }
        new Checks(ledger, report, retentionMonths, log == null ? Map.of() : log.conflicts).run();
        if (log != null && report.partitions.stream().allMatch(partition -> partition.problem == null)) log.unaccounted(report);
    }

    private static KafkaLog log(Map<String, String> options) throws ExecutionException, InterruptedException {
        if (!options.containsKey("--topic")) return null;
        return new KafkaLog(options.get("--bootstrap"), options.get("--topic"), options.get("--dlq"), options.get("--sink"));
    }

    private static Map<String, String> parse(String[] args) throws UsageException {
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i < args.length; i++) {
            if (args[i].equals("--complete") || args[i].equals("--help")) options.put(args[i], "");
            else if (!VALUES.contains(args[i])) throw new UsageException("Unknown option " + args[i]);
            else if (i + 1 == args.length) throw new UsageException("Option " + args[i] + " needs a value");
            else options.put(args[i], args[++i]);
        }
        if (options.containsKey("--topic") != options.containsKey("--bootstrap")) {
            throw new UsageException("--topic and --bootstrap go together");
        }
        for (String needsLog : List.of("--dlq", "--sink", "--complete")) {
            if (options.containsKey(needsLog) && !options.containsKey("--topic")) {
                throw new UsageException(needsLog + " needs --topic and --bootstrap");
            }
        }
        String output = options.getOrDefault("-o", "table");
        if (!List.of("table", "json").contains(output)) throw new UsageException("-o is table or json, not " + output);
        return options;
    }

    private static Connection connect(Map<String, String> options) throws UsageException, SQLException {
        String url = options.getOrDefault("--url", System.getenv("POSTGRES_READER_URL"));
        if (url == null) throw new UsageException("--url or POSTGRES_READER_URL says which database");
        URI uri = URI.create(url);
        if (uri.getHost() == null || !uri.getScheme().startsWith("postgres")) throw new UsageException("--url is no postgresql:// URL");
        Properties properties = new Properties();
        String[] login = uri.getRawUserInfo() == null ? new String[0] : uri.getRawUserInfo().split(":", 2);
        if (login.length > 0) properties.put("user", decode(login[0]));
        if (login.length > 1) properties.put("password", decode(login[1]));
        else if (System.getenv("PGPASSWORD") != null) properties.put("password", System.getenv("PGPASSWORD"));
        properties.put("ApplicationName", "audit-verify");
        String query = uri.getRawQuery() == null ? "" : "?" + uri.getRawQuery();
        int port = uri.getPort() < 0 ? 5432 : uri.getPort();
        return DriverManager.getConnection("jdbc:postgresql://" + uri.getHost() + ":" + port + uri.getRawPath() + query, properties);
    }

    private static String decode(String text) {
        return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
    }
}
