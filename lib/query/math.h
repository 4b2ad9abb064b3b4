/*
 * query/math.h: mathematical functions with the results of Go's math package on amd64 (Go 1.19), to the last digit: influxd's
 * answers are made by it, and the C library's functions differ from it in that digit. The methods are those of
 * Moshier's Cephes (sin, cos, tan, atan), Sun's fdlibm (log) and Shibata's SLEEF (exp).
 */
#ifndef TSM_QUERY_MATH_H
#define TSM_QUERY_MATH_H

double tsm_math_sin(double x);
double tsm_math_cos(double x);
double tsm_math_tan(double x);
double tsm_math_asin(double x);
double tsm_math_acos(double x);
double tsm_math_atan(double x);
double tsm_math_atan2(double y, double x);
double tsm_math_exp(double x);
double tsm_math_log(double x);
double tsm_math_log2(double x);
double tsm_math_log10(double x);
double tsm_math_pow(double x, double y);
double tsm_math_round(double x); /* half away from zero */

#endif
