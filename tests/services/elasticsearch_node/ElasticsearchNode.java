import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.Node;
import org.elasticsearch.transport.Netty4Plugin;

/**
 * One Elasticsearch node on loopback: `HOME HTTP-PORT TRANSPORT-PORT`.
 *
 * The jars are on the class path, since no registry has the distribution; and the distribution's
 * own launcher refuses root, which containers of CI are.
 */
final class ElasticsearchNode extends Node {
    private ElasticsearchNode(Environment environment) {
        super(environment, List.of(Netty4Plugin.class), false);
    }

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]);
        Path config = Files.createDirectories(home.resolve("config"));
        Settings settings = Settings.builder()
            .put("path.home", home.toString())
            .put("cluster.name", "rollbackd-tests")
            .put("node.name", "node")
            .put("network.host", "127.0.0.1")
            .put("http.port", arguments[1])
            .put("transport.port", arguments[2])
            .put("discovery.type", "single-node")
            // a full disk on a developer's machine is not what is tested
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        Node node = new ElasticsearchNode(new Environment(settings, config)).start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception failed) {
                failed.printStackTrace();
            }
        }));
        Thread.currentThread().join();
    }
}
