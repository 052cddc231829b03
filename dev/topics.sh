#!/usr/bin/env bash
# The topics as a table, and below it what those that are not ready say.
. "$(dirname "$0")/lib.sh"

kc get kafkatopics -o jsonpath='{range .items[*]}{.status.topicName}{"\t"}{.status.partitions}{"\t"}{.status.replicas}{"\t"}{.spec.config.retention\.ms}{"\t"}{.spec.config.compression\.type}{"\t"}{.status.conditions[?(@.type=="Ready")].status}{"\t"}{.status.conditions[?(@.type=="Ready")].reason}{"\t"}{.status.driftSummary}{"\t"}{.metadata.name}{"\t"}{.status.conditions[?(@.type=="Ready")].message}{"\t"}{.spec.config.cleanup\.policy}{"\n"}{end}' \
  | awk -F '\t' '
    function shown(ms, policy) {
      if (policy == "compact") return "compacted"
      if (ms == "") return "default"
      if (ms < 0) return "for ever"
      if (ms % 86400000 == 0) return ms / 86400000 " d"
      if (ms % 3600000 == 0) return ms / 3600000 " h"
      return ms / 1000 " s"
    }
    function row(a, b, c, d, e, f, g, h, i,    n, cells) {
      n = split(a SUBSEP b SUBSEP c SUBSEP d SUBSEP e SUBSEP f SUBSEP g SUBSEP h SUBSEP i, cells, SUBSEP)
      rows++
      for (; n > 0; n--) { cell[rows, n] = cells[n] == "" ? "-" : cells[n]; if (length(cell[rows, n]) > width[n]) width[n] = length(cell[rows, n]) }
    }
    BEGIN { row("TOPIC", "PARTITIONS", "REPLICAS", "RETENTION", "COMPRESSION", "READY", "REASON", "DRIFT", "RESOURCE") }
    NF > 1 {
      row($1 == "" ? $9 : $1, $2, $3, shown($4, $11), $5, $6, $7, $8, $9)
      # Those that say the same are told together.
      if ($6 != "True" && !($10 in who)) { trouble[++troubles] = $10; who[$10] = $9 } else if ($6 != "True") who[$10] = who[$10] ", " $9
    }
    END {
      if (rows == 1) { print "There are no KafkaTopics in this namespace."; exit }
      for (r = 1; r <= rows; r++) { line = ""; for (c = 1; c <= 9; c++) line = line sprintf("%-*s  ", width[c], cell[r, c]); sub(/ +$/, "", line); print line }
      if (troubles) { print ""; print "Not ready:"; for (t = 1; t <= troubles; t++) print "  " who[trouble[t]] ": " trouble[t] }
    }'
