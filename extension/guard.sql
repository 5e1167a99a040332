\echo Use "CREATE EXTENSION many_models" to load this file. \quit
