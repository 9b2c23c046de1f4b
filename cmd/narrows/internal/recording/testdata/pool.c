/* Threads with nothing to do, as servers have them, and two that wait for something: one
 * for room in a queue, one for an answer that does not come. Ends when its input does. */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER, room = PTHREAD_COND_INITIALIZER;

/* Functions that only wait are kept apart from what calls them. */
#define FUNCTION __attribute__((noinline))
#define AFTER __asm__ volatile("")

FUNCTION static void next_task(void) { pthread_mutex_lock(&lock); for (;;) pthread_cond_wait(&work, &lock); }
FUNCTION static void *worker(void *unused) { next_task(); AFTER; return unused; }

FUNCTION static void queue_push(void) { pthread_mutex_lock(&lock); for (;;) pthread_cond_wait(&room, &lock); }
FUNCTION static void *producer(void *unused) { queue_push(); AFTER; return unused; }

FUNCTION static void *acceptor(void *unused)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	bind(s, (struct sockaddr *)&any, sizeof(any));
	listen(s, 1);
	accept(s, NULL, NULL);
	AFTER;
	return unused;
}

FUNCTION static void *reactor(void *unused)
{
	struct epoll_event event;
	epoll_wait(epoll_create1(0), &event, 1, -1);
	AFTER;
	return unused;
}

FUNCTION static void fetch(void)
{
	int pair[2];
	char answer;
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	recv(pair[0], &answer, 1, 0);
	AFTER;
}
FUNCTION static void *client(void *unused) { fetch(); AFTER; return unused; }

int main(void)
{
	void *(*all[])(void *) = {worker, worker, producer, acceptor, reactor, client};
	char byte;
	for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) {
		pthread_t thread;
		pthread_create(&thread, NULL, all[i], NULL);
	}
	usleep(200000);
	puts("ready");
	fflush(stdout);
	read(0, &byte, 1);
	_exit(0);
}
