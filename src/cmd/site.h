/*
 * Making a new site: keys, certificates, configuration, the first operator's credential and the
 * file to source. What `holdfast init` and `holdfast demo` share.
 */
#ifndef CMD_SITE_H
#define CMD_SITE_H

#include "cmd/cli.h"
#include "io/port.h"

struct site {
    const char *dir; /* absolute; becomes DATA */
    const char *name;
    const char *domain;
    const char *manufacturer; /* PEM file of accepted IDevID roots, or NULL */
    unsigned gateways;        /* 1 to 16, named gw-1, gw-2, ... */
    unsigned console_port, devices_port, metrics_port,
        gateway_port; /* the first gateway's; others follow */
    bool console_is_http;
};

/* Fills the ports: all from `base` where it is not 0, else the standard ones. */
void site_ports(struct site *site, long base);

/* CLI_DONE, or the status of what was said. Refuses a folder that already holds a site. */
int site_make(struct cli *cli, struct port *port, const struct site *site);

/* DIR/env as this site's addresses and credential demand; written by site_make, and again where the
 * binary moved. */
int site_write_env(
    struct cli *cli, struct port *port, const char *dir, const char *console, const char *gateway);

/* The first operator: DIR/operator.token, and its digest in the registry. Run again it keeps what
 * is there. */
int site_make_operator(struct cli *cli, struct port *port, const struct site *site);

/* The folder of this program, for PATH in DIR/env. */
const char *site_program_dir(void);

/* An absolute form of `dir`, kept until the process ends; NULL where it is too long. */
const char *site_absolute(const char *dir);

#endif
