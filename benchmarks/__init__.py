"""How fast the house is: `make bench`, or `python -m benchmarks`.

Each figure is the median of three rounds, and stands beside a reference that was measured in the
same minutes on the same machine. Machines differ and are shared: compare shares, and the CPU time
of one event or request, sooner than rates.

    scraper      2,000 pages of 35 KB with 20 reviews each, from a site on this machine that takes
                 no time of its own: CPU time and memory of the process that fetches and extracts.
                 Every guard is on: robots.txt, the pace (the site asks for no delay), allowed hosts
                 and addresses, media types, the limit of bytes, redirects. Every record is compared
                 with what its page says. Beside it Scrapy, which obeys robots.txt too and reads the
                 same JSON-LD; Scrapy with pages that have none, by CSS; ours with those pages, by
                 BeautifulSoup; and ours with all that the service does besides: it keeps each page,
                 compressed, in a store, and makes 22 events of it. All write records to a file.
    cleaning     The cleaner's own work on titles, in batches of 500, within this process: cleaned,
                 compared with what is known, appended to Delta tables, merged with what other
                 sources tell. Rates are of CPU time, so they are those of one core. Beside it the
                 same without tables, and the same rows appended without being cleaned.
    cleaner      Titles as a scraper publishes them, to the service as it runs in production
    featurizer   (`python -m trending_…`) on a real Kafka. A round begins with a backlog that was
                 written while the service stood still, and ends when the service has committed all
                 of it: by then each event was read, handled, stored in tables and catalog, and led
                 to another event that Kafka has acknowledged. The reference is a loop that only
                 reads, writes the same bytes, and commits (`bare_loop`), with the same settings on
                 as many partitions. For the featurizer there is also the encoder alone, in the
                 batches in which the featurizer uses it.
    gateway      POST /v1/genres with one text a request and 1, 16 and 64 callers, each of whom
                 asks again when it has its answer, and no text twice; trees over words, made
                 from the demo's catalogue, answers, and each answer is on record in Kafka before
                 it goes out. The reference is a FastAPI route that returns the same bytes
                 (`bare_route`), with the same server. There is also the model alone, one text at a
                 time in one thread. Any answer but a recorded 200 fails the benchmark.
    network      The same with a network, MiniLM-L6 in eight bits, as graphs were made before and as
                 they are now: 16 callers, and no answer is remembered. The reference is the same
                 graph in as many threads of one process as the gateway has workers.
    monitor      Four times 10,000 predictions, each with a text of the demo's catalogue and sixteen
                 probabilities, as a backlog on a real Kafka. The monitor records all in its catalog
                 (SQLite here), cuts windows of 500, measures drift, estimates F1 and publishes it;
                 memory is what it holds after one, two and four times. It uses one core.

Not measured: how fast a scraper is on real sites, which is a matter of politeness; training; the
page and the catalog's routes; dataset snapshots, which are cut every thousand titles; retries and
redeliveries; an object store, a catalog or a Kafka behind a network; more than one process of a
service; memory but the scraper's and the monitor's.
Load generator, Kafka and service share the machine's cores: with more than a few of them, or with
the callers elsewhere, rates are higher. The callers' own CPU time is told with each figure.

With KAFKA_BOOTSTRAP_SERVERS the events go to that Kafka, into the house's own topics, and its
groups skip what waits there; so a Kafka by way of which anything was ever scraped is refused.
Otherwise a Kafka is started and removed again. Variables of the services, such as
FEATURIZER_THREADS, are respected.
"""
